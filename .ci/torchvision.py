"""Let torchvision be imported beside a build of torch for CPUs: `python .ci/torchvision.py` in the environment.

PyPI's torchvision for Linux is built for CUDA. Beside a torch without CUDA its library cannot be loaded, so the operators
that it defines are not there. The import then fails at the two that it describes to torch, and with it the import of
Lightning, Transformers and timm, which ask for torchvision where it is installed. Nothing that the tests run calls such an
operator: to declare the two is enough. Where `import torchvision` works, nothing is written.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

NAME = "_torchvision_without_cuda"
MODULE = '''\
"""Declare the operators that `import torchvision` asks for, where its library could not be loaded."""

import sys

kept = []


class Before:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision._meta_registrations":
            sys.meta_path.remove(self)
            import torch

            if not hasattr(torch.ops.torchvision, "nms"):
                kept.append(torch.library.Library("torchvision", "DEF"))
                for name in ("nms", "qnms"):
                    kept[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


sys.meta_path.insert(0, Before())
'''

if __name__ == "__main__":
    command = [sys.executable, "-W", "ignore", "-c", "import torchvision"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        folder = Path(sysconfig.get_path("purelib"))
        (folder / f"{NAME}.py").write_text(MODULE, encoding="utf-8")
        (folder / f"{NAME}.pth").write_text(f"import {NAME}\n", encoding="utf-8")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"torchvision cannot be imported:\n{done.stderr}")
