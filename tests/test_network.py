"""Le réseau : ses formes, ses poids initiaux, et ce que tanh y change (lois 2, 3 et 10)."""

import math

import pytest
import torch

from toylib import Net, gendata, test, train


def test_two_hidden_linear_layers_and_logits():
    model = Net(3, 4, (5, 6), seed=0)
    assert [tuple(p.shape) for p in model.parameters()] == [(5, 3), (5,), (6, 5), (6,), (4, 6), (4,)]
    assert model(torch.zeros(7, 3)).shape == (7, 4)
    assert model.tanh == (True, True)


def test_forward_is_tanh_after_each_flagged_layer():
    model = Net(2, 3, (4, 5), tanh=(True, False), seed=1)
    x = torch.randn(6, 2)
    first, second = model.hidden
    assert torch.equal(model(x), model.output(second(torch.tanh(first(x)))))


def test_initial_weights_follow_the_default_law_of_torch():
    model = Net(9, 2, (400, 400), seed=2)
    for layer, nins in zip((*model.hidden, model.output), (9, 400, 400)):
        bound = 1 / math.sqrt(nins)
        assert layer.weight.abs().max() <= bound
        assert layer.bias.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.06)


def _affine_map(model, nins):
    """L'application affine qui vaut `model` en 0 et sur la base."""
    offset = model(torch.zeros(1, nins, dtype=torch.float64))
    slopes = model(torch.eye(nins, dtype=torch.float64)) - offset
    return lambda x: x @ slopes + offset


def test_without_tanh_the_layers_collapse_into_one_affine_map():
    x = torch.randn(50, 4, dtype=torch.float64)
    flat, curved = Net(4, tanh=(False, False), seed=3).double(), Net(4, seed=3).double()
    assert (flat(x) - _affine_map(flat, 4)(x)).abs().max() < 1e-12
    assert (curved(x) - _affine_map(curved, 4)(x)).abs().max() > 1e-3


def test_the_initial_loss_is_about_ln_2():
    f, y2 = gendata(500, seed=4)
    losses = [test(Net(2, seed=seed), f, y2).loss for seed in range(200)]
    assert sum(losses) / 200 == pytest.approx(math.log(2), abs=0.03)


def test_with_zero_weights_the_loss_is_ln_2_and_the_hidden_weights_never_move():
    f, y2 = gendata(500, seed=5)
    model = Net(2, seed=5).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    history = train(model, f, y2, 20, 0.1, seed=0)
    assert history.loss[0] == pytest.approx(math.log(2), abs=1e-15)
    assert all((layer.weight == 0).all() for layer in model.hidden)


def flat(model):
    return torch.nn.utils.parameters_to_vector(model.parameters())


def test_same_seed_same_weights_and_global_state_untouched():
    before = torch.random.get_rng_state()
    first, again, other = (flat(Net(2, seed=s)) for s in (6, 6, 7))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_without_a_seed_the_weights_are_those_of_a_stack_of_torch_layers():
    torch.manual_seed(6)
    first, second = flat(Net(3, 4, (5, 6))), flat(Net(3, 4, (5, 6)))
    torch.manual_seed(6)
    stacks = [torch.nn.Sequential(*map(torch.nn.Linear, (3, 5, 6), (5, 6, 4))) for _ in range(2)]
    assert torch.equal(first, flat(stacks[0]))
    assert torch.equal(second, flat(stacks[1]))


def test_a_refused_network_draws_nothing():
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="hidden doit"):
        Net(2, hidden=(10, 10**8))
    assert torch.equal(before, torch.get_rng_state())
