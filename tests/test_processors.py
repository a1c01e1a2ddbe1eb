"""Les machines que `processors.py` imite diffèrent vraiment : leurs bits ne sont pas les mêmes."""

import json
import os
import platform
import subprocess
import sys

import processors
import pytest
import torch
from processors import BITS, PROCESSORS, environment

pytestmark = pytest.mark.long

PROBE = """
import hashlib, json
import numpy as np
import torch
from toylib import Net, gendata, train

def bits(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()

draw = np.random.default_rng(0).random((300, 300))
curve = train(Net(2, seed=0), *gendata(seed=0), epochs=100, lr=1, seed=0).loss
print(json.dumps({"torch": bits(curve), "numpy": bits(np.exp(draw.astype("float32"))), "produits": bits(draw @ draw),
                  "fils": torch.get_num_threads()}))
"""


def probe(name, folder):
    """Ce que calcule, comme la machine `name`, un noyau neuf."""
    variables = {**os.environ, **(environment(name, folder) if name else {})}
    command = [sys.executable, "-m", "IPython", "--no-banner", "-c", PROBE]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return {name: probe(name, tmp_path_factory.mktemp("ipython")) for name in ("", *PROCESSORS)}


def test_two_processors_differ_by_their_bits(found):
    if platform.machine().lower() not in ("x86_64", "amd64") or "AVX" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("Ces réglages sont ceux des processeurs x86 qui ont AVX2.")
    for part in ("torch", "numpy", "produits"):
        assert found["sse4"][part] != found["avx2"][part], part


def test_one_bit_of_the_weights_changes_a_chaotic_curve_and_nothing_else(found):
    assert len({found[name]["torch"] for name in ("", *BITS)}) == 1 + len(BITS)
    assert {found[name]["numpy"] for name in BITS} == {found[""]["numpy"]}


def test_two_threads_are_two(found):
    assert found["avx2"]["fils"] == 2


@pytest.mark.parametrize("machine", PROCESSORS)
def test_the_notebooks_print_the_same_on_another_machine(machine):
    command = [sys.executable, processors.__file__, machine]
    done = subprocess.run(command, env={**os.environ, "PYTEST_ADDOPTS": "-n 0"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-10_000:]
