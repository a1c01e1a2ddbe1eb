"""L'entraînement : la boucle contre une boucle nue et contre torch.optim, et les lois 1, 6, 8, 9 et 10."""

import copy
import math
import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from toylib import History, Net, Score, gendata, sweep, test, train, training
from toylib.training import OPTIMIZERS

LABELS = ("sum", "xor", "band")


def run(f, y2, *, seed=0, lr=0.1, epochs=100, model_seed=0, **options):
    """Une courbe de perte en float64."""
    return train(Net(f.shape[1], seed=model_seed).double(), f, y2, epochs, lr, seed=seed, **options).loss


# --- La boucle ---------------------------------------------------------------------------------


def test_history_has_one_point_more_than_epochs_and_starts_at_the_untrained_network():
    f, y2 = gendata(seed=0)
    model = Net(2, seed=0)
    before, history = test(model, f, y2), train(model, f, y2, 5, 0.1, valid=(f, y2), seed=0)
    assert len(history.loss) == len(history.accuracy) == len(history.valid_loss) == len(history.valid_accuracy) == 6
    assert history.loss[0] == pytest.approx(before.loss, rel=1e-5)
    assert history.loss[-1] == pytest.approx(test(model, f, y2).loss, rel=1e-5)
    assert history.valid_loss == pytest.approx(history.loss, rel=1e-4)


def test_zero_epochs_measure_once_and_change_nothing():
    f, y2 = gendata(seed=0)
    model = Net(2, seed=0)
    before = copy.deepcopy(model.state_dict())
    history = train(model, f, y2, 0, 0.1)
    assert len(history.loss) == 1
    assert history.valid_loss is None
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_history_is_frozen():
    f, y2 = gendata(50, seed=0)
    history = train(Net(2, seed=0), f, y2, 2, 0.1)
    with pytest.raises(AttributeError):
        history.loss = None
    with pytest.raises(ValueError, match="read-only"):
        history.loss[0] = 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch_size", [None, 50])
def test_train_equals_a_bare_loop_on_torch_optim(optimizer, batch_size):
    """L'oracle : la même boucle, écrite nue, avec torch.optim."""
    f, y2 = gendata(500, seed=1)
    x, labels = torch.tensor(f, dtype=torch.float64), torch.tensor(y2).argmax(dim=1)
    model = Net(2, seed=1).double()
    bare = copy.deepcopy(model)
    make = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}.get(optimizer)
    steps = make(bare.parameters(), lr=0.1) if make else torch.optim.SGD(bare.parameters(), lr=0.1, momentum=0.9)
    generator, losses = torch.Generator().manual_seed(5), []
    for _ in range(12):
        order = torch.randperm(500, generator=generator)
        x, labels = x[order], labels[order]
        losses.append(cross_entropy(bare(x), labels).item())
        for start in range(0, 500, batch_size or 500):
            steps.zero_grad()
            cross_entropy(
                bare(x[start : start + (batch_size or 500)]), labels[start : start + (batch_size or 500)]
            ).backward()
            steps.step()
    history = train(model, f, y2, 12, 0.1, optimizer=optimizer, batch_size=batch_size, seed=5)
    assert history.loss[:-1] == pytest.approx(losses, abs=1e-10)


def test_the_last_batch_may_be_smaller_and_every_sample_is_used():
    f, y2 = gendata(7, seed=0)
    counted = []

    def count(params, lr):
        class Counting(torch.optim.SGD):
            def step(self, closure=None):
                counted.append(1)
                return super().step(closure)

        return Counting(params, lr=lr)

    train(Net(2, seed=0), f, y2, 2, 0.1, optimizer=count, batch_size=3)
    assert len(counted) == 2 * math.ceil(7 / 3)


class Noisy(nn.Module):
    """Un réseau à soi, dont deux couches n'ont pas le même sens en apprentissage et en mesure."""

    def __init__(self, nins, nout):
        super().__init__()
        self.first, self.second = nn.Linear(nins, 16), nn.Linear(16, nout)
        self.norm, self.dropout = nn.BatchNorm1d(16), nn.Dropout(0.2)

    def forward(self, x):
        return self.second(self.dropout(torch.relu(self.norm(self.first(x)))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_network_learns_three_classes_of_three_features(dtype):
    torch.manual_seed(0)
    x = torch.randn(300, 3)
    labels = x.argmax(dim=1)
    history = train(Noisy(3, 3).to(dtype), x, labels, 100, 0.03, batch_size=50, valid=(x, labels), seed=0)
    assert history.accuracy[-1] > 0.9
    assert (history.accuracy == history.valid_accuracy).all()  # mesurées toutes deux sans dropout


@pytest.mark.parametrize(("n", "batch_size", "left"), [(7, 3, 1), (7, 1, 1), (1, None, 1), (7, 4, 3), (7, None, 7)])
def test_batch_normalisation_of_a_single_sample_is_refused_before_anything_moves(n, batch_size, left):
    f, y2 = gendata(n, seed=0)
    model = Noisy(2, 2)
    before = [part.clone() for part in model.state_dict().values()]
    assert len(train(model, f, y2, 0, 0.1, batch_size=batch_size).loss) == 1  # à 0 époque, rien à apprendre
    if left > 1:
        train(model, f, y2, 1, 0.1, batch_size=batch_size)
        return
    with pytest.raises(ValueError, match="batch_size doit donner au moins 2 échantillons à chaque lot"):
        train(model, f, y2, 1, 0.1, batch_size=batch_size)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values()))


def test_a_network_learns_in_training_mode_and_each_module_gets_its_own_mode_back():
    f, y2 = gendata(100, seed=0)
    model, seen = Noisy(2, 2), set()
    model.norm.eval()
    model.dropout.register_forward_hook(lambda part, *_: seen.add((part.training, torch.is_grad_enabled())))
    before = model.norm.running_mean.clone()
    test(model, f, y2)
    assert (seen, model.training, model.norm.training) == ({(False, False)}, True, False)
    assert torch.equal(model.norm.running_mean, before)
    train(model, f, y2, 2, 0.1)
    assert seen == {(False, False), (True, True)}
    assert (model.training, model.norm.training, model.dropout.training) == (True, False, True)
    assert not torch.equal(model.norm.running_mean, before)
    model.eval()
    train(model, f, y2, 1, 0.1)
    assert not any(part.training for part in model.modules())


def test_a_refused_network_keeps_its_modes_and_its_weights():
    f, y2 = gendata(100, seed=0)
    model = Noisy(3, 2)
    model.dropout.eval()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="^model doit accepter"):
        train(model, f, y2, 2, 0.1)
    assert (model.training, model.dropout.training) == (True, False)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_targets_may_be_rows_or_indices_lists_or_tensors():
    f, y2 = gendata(100, seed=2)
    labels = y2.argmax(axis=1)
    model = Net(2, seed=2)
    forms = (y2, labels, labels.tolist(), torch.tensor(labels), torch.tensor(y2), y2.astype(bool), labels.astype(float))
    assert len({test(model, f, form) for form in forms}) == 1
    assert test(model, f[::-1], y2[::-1]).loss == pytest.approx(test(model, f, y2).loss, rel=1e-5)


def test_test_measures_cross_entropy_and_accuracy():
    f, y2 = gendata(100, seed=3)
    model = Net(2, seed=3).double()
    shares = model(torch.tensor(f, dtype=torch.float64)).softmax(dim=1).detach().numpy()
    labels = y2.argmax(axis=1)
    expected = -np.log(shares[np.arange(100), labels]).mean(), (shares.argmax(axis=1) == labels).mean()
    assert test(model, f, y2) == pytest.approx(expected, rel=1e-12)


def test_the_caller_keeps_data_and_random_state():
    f, y2 = gendata(100, seed=4)
    copies, states = (f.copy(), y2.copy()), (torch.random.get_rng_state(), np.random.get_state()[1].copy())
    train(Net(2, seed=0), f, y2, 3, 0.1, batch_size=10, seed=1)
    assert all((a == b).all() for a, b in zip(copies, (f, y2)))
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()


@pytest.mark.parametrize(("width", "used"), [(16, 1), (2**20, 2)])
@pytest.mark.parametrize("error", [None, RuntimeError])
def test_small_layers_learn_on_one_thread_and_the_caller_keeps_his(width, used, error):
    """Sur une machine occupée, deux fils qui s'attendent entraînent vingt fois plus lentement de petites couches."""
    seen, before = [], torch.get_num_threads()

    class Watched(nn.Sequential):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            if error and len(seen) > 3:
                raise error
            return super().forward(x)

    model = Watched(nn.Linear(2, width), nn.Linear(width, 2))
    torch.set_num_threads(2)
    try:
        with pytest.raises(error) if error else nullcontext():
            train(model, [[0.0, 1.0], [1.0, 0.0]], [0, 1], 2, 0.1, optimizer="sgd")
        assert seen[1:] == [used] * (len(seen) - 1)  # le premier appel, avant l'entraînement, vérifie le réseau
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("batch_size", [None, 50])
def test_same_seed_same_bits(batch_size):
    f, y2 = gendata(seed=5)
    first, again, other = (
        train(Net(2, seed=1), f, y2, 20, 0.1, batch_size=batch_size, seed=seed).loss for seed in (3, 3, 4)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("batch_size", [None, 50])
@pytest.mark.parametrize("epochs", [0, 20])
def test_without_a_seed_the_global_generator_decides(batch_size, epochs):
    f, y2 = gendata(seed=5)
    torch.manual_seed(3)
    first, after = train(Net(2, seed=1), f, y2, epochs, 0.1, batch_size=batch_size).loss, torch.rand(1)
    torch.manual_seed(3)
    assert (train(Net(2, seed=1), f, y2, epochs, 0.1, batch_size=batch_size).loss == first).all()
    assert torch.equal(torch.rand(1), after)
    assert (train(Net(2, seed=1), f, y2, epochs, 0.1, batch_size=batch_size, seed=3).loss == first).all()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_train_trains_even_where_gradients_are_off(mode):
    f, y2 = gendata(100, seed=5)
    model, reference = Net(2, seed=1), train(Net(2, seed=1), f, y2, 5, 0.1, seed=3, valid=(f, y2))
    with mode():
        history = train(model, f, y2, 5, 0.1, seed=3, valid=(f, y2))
        assert not torch.is_grad_enabled()
    assert (history.loss == reference.loss).all()
    assert torch.is_grad_enabled()


def test_a_network_made_in_inference_mode_is_refused_in_french():
    with torch.inference_mode():
        model = Net(2, seed=0)
    with pytest.raises(ValueError, match="^model doit avoir des poids modifiables"):
        train(model, *gendata(50, seed=0), 1, 0.1)


def test_an_optimizer_may_have_groups_or_only_some_of_the_weights():
    f, y2 = gendata(100, seed=5)
    model, start = Net(2, seed=1), Net(2, seed=1)

    def groups(params, lr):
        return torch.optim.SGD([{"params": params[:2], "lr": 10 * lr}, {"params": params[4:]}], lr)

    rates = []
    made = lambda params, lr: rates.append(groups(params, lr)) or rates[0]  # noqa: E731
    train(model, f, y2, 4, 0.1, optimizer=made, schedule=lambda step, steps: 1 / (1 + step), seed=3)
    moved = [not torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters())]
    assert moved == [True, True, False, False, True, True]
    assert [group["lr"] for group in rates[0].param_groups] == pytest.approx([0.25, 0.025])


def test_an_optimizer_used_twice_follows_both_schedules_to_the_end():
    f, y2 = gendata(100, seed=5)
    model = Net(2, seed=1)
    kept = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        train(model, f, y2, 4, 0.1, optimizer=lambda params, lr: kept, schedule="cosine", seed=3)
    assert kept.param_groups[0]["lr"] > 0


def test_history_says_when_it_arrives_and_when_it_diverges():
    calm = History.of([Score(0.7, 0.5), Score(0.3, 0.985), Score(0.1, 0.995)])
    assert (calm.epochs_to(0.98), calm.epochs_to(0.99), calm.epochs_to(0.999)) == (1, 2, None)
    assert calm.diverges_at() is None
    assert History.of([Score(0.7, 0.5), Score(5.0, 0.5), Score(0.1, 0.9)]).diverges_at() is None
    for end in (2.0, math.inf, math.nan):
        assert History.of([Score(0.7, 0.5), Score(0.9, 0.5), Score(end, 0.5)]).diverges_at() == 2


def test_a_diverging_run_is_recorded_not_raised():
    f, y2 = gendata(seed=0)
    history = train(Net(2, seed=0), f, y2, 60, 1e30, optimizer="sgd")
    assert len(history.loss) == 61
    assert history.diverges_at() is not None


# --- Loi 1 : mélanger ou doubler un lot complet ne change rien ----------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_permuting_or_doubling_a_full_batch_changes_nothing(optimizer):
    f, y2 = gendata(seed=6)
    order = np.random.default_rng(0).permutation(len(f))
    reference = run(f, y2, optimizer=optimizer)
    assert run(f[order], y2[order], optimizer=optimizer) == pytest.approx(reference, abs=1e-12)
    assert run(np.concatenate([f, f]), np.concatenate([y2, y2]), optimizer=optimizer) == pytest.approx(
        reference, abs=1e-12
    )
    assert run(f, y2, optimizer=optimizer, seed=99) == pytest.approx(reference, abs=1e-12)


def test_permuting_mini_batches_changes_the_path():
    f, y2 = gendata(seed=6)
    first, second = (run(f, y2, seed=seed, batch_size=50, epochs=10) for seed in (0, 1))
    assert abs(first - second).max() > 1e-4


# --- Loi 6 : le premier pas d'Adam -------------------------------------------------------------


def _gradient(model, f, y2):
    x, labels = torch.tensor(f, dtype=torch.float64), torch.tensor(y2).argmax(dim=1)
    return torch.autograd.grad(cross_entropy(model(x), labels), list(model.parameters()))


@pytest.mark.parametrize("lr", [1e-3, 0.1, 1.0])
def test_first_step_of_adam_is_the_rate_times_the_sign_of_the_gradient(lr):
    f, y2 = gendata(seed=7)
    model = Net(2, seed=7).double()
    before, gradient = [p.detach().clone() for p in model.parameters()], _gradient(model, f, y2)
    train(model, f, y2, 1, lr, seed=0)
    for new, old, g in zip(model.parameters(), before, gradient):
        step = new.detach() - old
        assert torch.allclose(step, -lr * g / (g.abs() + 1e-8), rtol=0, atol=1e-10)
        clear = g.abs() > 1e-4
        assert ((step[clear] / lr).abs() >= 0.9999).all()
        assert ((step[clear] / lr).abs() <= 1).all()


def test_first_step_of_descent_is_the_rate_times_the_gradient():
    f, y2 = gendata(seed=7)
    for optimizer in ("sgd", "momentum"):
        model = Net(2, seed=7).double()
        before, gradient = [p.detach().clone() for p in model.parameters()], _gradient(model, f, y2)
        train(model, f, y2, 1, 0.1, optimizer=optimizer, seed=0)
        for new, old, g in zip(model.parameters(), before, gradient):
            assert torch.allclose(new.detach() - old, -0.1 * g, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("optimizer", "same"), [("adam", True), ("sgd", False)])
def test_a_loss_a_thousand_times_larger_leaves_adam_where_it_was(optimizer, same):
    f, y2 = gendata(seed=8)
    reference, model = run(f, y2, optimizer=optimizer), Net(2, seed=0).double()
    for parameter in model.parameters():
        parameter.register_hook(lambda g: 1000 * g)
    scaled = train(model, f, y2, 100, 0.1, optimizer=optimizer, seed=0).loss
    assert (abs(scaled - reference).max() < 1e-5) == same


# --- Loi 8 : sous la limite de stabilité, la perte ne monte pas ---------------------------------


def _sharpness(model, f, y2):
    """La plus grande valeur propre de la hessienne de la perte, aux poids de `model`."""
    x, labels = torch.tensor(f, dtype=torch.float64), torch.tensor(y2).argmax(dim=1)
    shapes = {name: value.shape for name, value in model.named_parameters()}

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes.values()])
        weights = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts)}
        return cross_entropy(torch.func.functional_call(model, weights, x), labels)

    flat = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    return torch.linalg.eigvalsh(torch.func.hessian(loss)(flat)).max().item()


@pytest.mark.parametrize("rule", LABELS)
@pytest.mark.parametrize("seed", range(3))
def test_well_under_the_stability_limit_the_loss_never_rises(rule, seed):
    f, y2 = gendata(rule=rule, seed=seed)
    model = Net(2, seed=seed).double()
    lr = 0.2 * 2 / _sharpness(model, f, y2)
    assert (np.diff(train(model, f, y2, 100, lr, optimizer="sgd", seed=0).loss) <= 0).all()


# --- Loi 9 : apprendre n'est pas mémoriser ------------------------------------------------------


def held_out(rule, *, nins=2, tanh=None, noise=0.0, lr=0.03):
    """L'exactitude médiane sur 5 graines, sur 2 000 échantillons jamais vus."""
    scores = []
    for seed in range(5):
        model = Net(nins, tanh=tanh, seed=seed).double()
        f, y2 = gendata(500, nins, rule=rule, noise=noise, seed=seed)
        train(model, f, y2, 100, lr, seed=seed)
        scores.append(test(model, *gendata(2000, nins, rule=rule, noise=noise, seed=1000 + seed)).accuracy)
    return np.median(scores)


def test_random_labels_are_memorised_never_learnt():
    f, y2 = gendata(500, 100, rule="random", seed=0)
    model = Net(100, seed=0).double()
    history = train(model, f, y2, 100, 0.03, valid=gendata(2000, 100, rule="random", seed=1), seed=0)
    assert history.accuracy[-1] == 1
    assert history.valid_accuracy[-1] == pytest.approx(0.5, abs=0.04)


AFFINE = (False, False)


def test_sum_is_learnt_better_than_by_an_affine_map():
    assert held_out("sum") >= 0.98
    assert held_out("sum", tanh=AFFINE) == pytest.approx(0.94, abs=0.02)


def test_xor_needs_tanh():
    assert held_out("xor") >= 0.95
    assert held_out("xor", tanh=AFFINE) <= 0.65


def test_the_band_of_one_feature_needs_tanh():
    assert held_out("band", nins=1) >= 0.98
    assert held_out("band", nins=1, tanh=AFFINE) <= 0.77


def test_the_network_of_the_text_with_one_tanh_learns_as_well():
    for rule, least in (("sum", 0.98), ("xor", 0.95)):
        assert held_out(rule, tanh=(True, False)) >= least


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.2])
def test_no_held_out_accuracy_beats_the_noise(noise):
    error = math.sqrt(noise * (1 - noise) / 2000)
    assert held_out("sum", noise=noise) <= 1 - noise + 3 * error


def test_overlapping_trainings_give_back_the_threads_of_the_first():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    first, second = (training.few_threads(Net(2), 500) for _ in range(2))
    try:
        first.__enter__(), second.__enter__(), first.__exit__(None, None, None), second.__exit__(None, None, None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("call", [train, test])
def test_autocast_is_refused(call):
    f, y2 = gendata(20, seed=0)
    options = {"epochs": 1, "lr": 0.1} if call is train else {}
    with torch.autocast("cpu"), pytest.raises(ValueError, match="model doit .*autocast"):
        call(Net(2, seed=0), f, y2, **options)


def test_a_network_that_works_in_place_does_not_change_the_data():
    data = torch.tensor([[-1.0, 1.0], [2.0, -3.0]])
    test(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(2, 2)), data, [0, 1])
    assert data.tolist() == [[-1.0, 1.0], [2.0, -3.0]]


def test_the_default_device_does_not_matter():
    f, y2 = gendata(20, seed=0)
    expected = train(Net(2, seed=0), f, y2, 3, 0.1, batch_size=7, seed=0).loss
    torch.set_default_device("meta")
    try:
        found = train(Net(2, seed=0), f, y2.argmax(axis=1), 3, 0.1, batch_size=7, seed=0).loss
        swept = sweep(Net(2, seed=0), f, y2, 3, [0.1], batch_size=7, seed=0).loss[0]
    finally:
        torch.set_default_device(None)
    assert np.array_equal(found, expected)
    assert swept == pytest.approx(expected, abs=1e-6)


def test_a_training_in_another_thread_does_not_change_the_threads_of_this_one():
    f, y2 = gendata(500, seed=0)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    other = threading.Thread(target=lambda: [train(Net(2, seed=0), f, y2, 5, 0.1, seed=0) for _ in range(40)])
    other.start()
    try:
        torch.set_num_threads(2)
        seen = set()
        while other.is_alive():
            train(Net(2, seed=0), f, y2, 1, 0.1, seed=0)
            seen.add(torch.get_num_threads())
        assert seen == {2}
    finally:
        other.join()
        torch.set_num_threads(before)


def test_what_a_network_keeps_between_batches_does_not_see_the_trial():
    """L'essai d'un lot, avant le premier pas, ne compte ni dans les moyennes de BatchNorm ni dans le hasard."""
    f, y2 = gendata(50, seed=0)
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))
    train(model, f, y2, 3, 0.1, batch_size=20)
    assert model[1].num_batches_tracked == 9
    torch.manual_seed(0)
    train(nn.Linear(2, 2), f, y2, 1, 0.1, batch_size=20, seed=0)
    drawn = torch.get_rng_state()
    torch.manual_seed(0)
    nn.Linear(2, 2)
    assert torch.equal(drawn, torch.get_rng_state())
