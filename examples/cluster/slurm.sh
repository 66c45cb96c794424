#!/bin/sh
#SBATCH --nodes=4 --ntasks-per-node=1 --exclusive --time=24:00:00 --requeue
# sbatch slurm.sh, in a folder that all nodes see, with deadweight's environment active and once before:
# `ray get-auth-token --generate`. The first node is the head; a requeued job goes on where it was. At its end
# `symmetric-run` stops every Ray of yours on the nodes, so it takes whole ones.
export RAY_AUTH_MODE=token
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):6379
srun ray symmetric-run --address "$head" --min-nodes "$SLURM_NNODES" -- deadweight run digits --address "$head"
