#!/bin/sh
# On the first machine: `ray get-auth-token --generate`, then `sh by_hand.sh --head`.
# On every other, with the first one's ~/.ray/auth_token copied to it: `sh by_hand.sh --address FIRST:6379`.
# Then on any of them: `RAY_AUTH_MODE=token deadweight run digits --address FIRST:6379`.
export RAY_AUTH_MODE=token
exec ray start --block "$@"
