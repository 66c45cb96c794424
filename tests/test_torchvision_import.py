import subprocess
import sys


def test_torchvision_imports_beside_this_torch_in_a_new_process():
    code = (
        "from benchmark.torchvision_import import import_torchvision; import_torchvision(); import_torchvision();"
        "from torchvision import datasets, models, transforms; import torch;"
        "print(models.resnet18().eval()(torch.zeros(1, 3, 32, 32)).shape[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "1000\n", done.stderr
