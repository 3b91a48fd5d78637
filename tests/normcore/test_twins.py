"""The torch twins in the places of torch's layers, in all that is done with those."""

import copy
import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx

import normcore as nc
from normcore import autograd

pytestmark = [  # what torch says about itself; torch 2.4 of its own calls in gradcheck and checkpoint, too
    pytest.mark.filterwarnings("ignore:`torch.jit"), pytest.mark.filterwarnings("ignore:.*should not be instantiated"),
    pytest.mark.filterwarnings("ignore:Please use `torch.vmap`"),
    pytest.mark.filterwarnings("ignore:`torch.cpu.amp.autocast"),
]  # fmt: skip
VERSION = tuple(map(int, torch.__version__.split(".")[:2]))
torch.manual_seed(0)
TORCH = {
    ("BatchNorm", 2): nn.BatchNorm1d, ("BatchNorm", 3): nn.BatchNorm1d, ("BatchNorm", 4): nn.BatchNorm2d,
    ("BatchNorm", 5): nn.BatchNorm3d, ("InstanceNorm", 3): nn.InstanceNorm1d, ("InstanceNorm", 4): nn.InstanceNorm2d,
    ("InstanceNorm", 5): nn.InstanceNorm3d,
}
SHAPES = {2: (6, 3), 3: (6, 3, 5), 4: (6, 3, 4, 5), 5: (2, 3, 4, 3, 5)}
OPTIONS = [
    {"affine": True, "track_running_stats": True},
    {"affine": False, "track_running_stats": True, "momentum": 0.9, "eps": 1e-2},
    {"affine": True, "bias": False, "track_running_stats": False},
    {"affine": True, "track_running_stats": True, "momentum": None},
]


class TestTwins:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize(("name", "ndim"), TORCH)
    def test_take_the_place_of_torchs(self, name, ndim, options):
        torchs_rule = name == "BatchNorm" or options.get("momentum", 0.1) is not None
        twin = getattr(autograd, name)(3, dtype=torch.float64, **options)
        theirs = TORCH[name, ndim](3, dtype=torch.float64, **{k: v for k, v in options.items() if k != "bias"})
        if not options.get("bias", True):
            theirs.register_parameter("bias", None)  # torch 2.4 has no such option
        for parameter in theirs.parameters():
            nn.init.normal_(parameter)
        twin.load_state_dict(theirs.state_dict())
        for training in (True, True, False, True):
            twin.train(training)
            theirs.train(training)
            if not (torchs_rule or training):
                continue  # torch's instance norm never moves with momentum=None
            x = torch.randn(SHAPES[ndim], dtype=torch.float64) * 2 + 1
            a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
            y, yt = twin(a), theirs(b)
            dy = torch.randn_like(y)
            gradients = zip(
                torch.autograd.grad(y, [a, *twin.parameters()], dy),
                torch.autograd.grad(yt, [b, *theirs.parameters()], dy), strict=True,
            )
            torch.testing.assert_close(y, yt)
            for mine, torchs in gradients:
                torch.testing.assert_close(mine, torchs)
            for key, value in twin.state_dict().items():
                if torchs_rule and (key != "num_batches_tracked" or name == "BatchNorm"):
                    torch.testing.assert_close(value, theirs.state_dict()[key])

    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm"])
    def test_run_the_numpy_layers_formulas(self, name, options):
        """Outputs, gradients and statistics, in float32 far from zero too."""
        layer = getattr(nc, name)(3, **options)
        twin = getattr(autograd, name)(3, **options)
        twin.load_state_dict({k: torch.as_tensor(v) for k, v in layer.state_dict().items()})
        rng = np.random.default_rng(0)
        for _ in range(3):
            x, dy = (rng.normal(size=(2, 8, 3, 7)) + np.array([3e4, 0])[:, None, None, None]).astype(np.float32)
            tensor = torch.tensor(x, requires_grad=True)
            y = twin(tensor)
            y.backward(torch.tensor(dy))
            np.testing.assert_allclose(y.detach(), layer(x), atol=2e-6)
            np.testing.assert_allclose(tensor.grad, layer.backward(dy), atol=5e-6)
            for key, value in layer.state_dict().items():
                np.testing.assert_allclose(twin.state_dict()[key], value, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
    @pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm"])
    def test_gradcheck_and_gradgradcheck(self, name, options, training):
        twin = getattr(autograd, name)(2, dtype=torch.float64, **options).train(training)
        names = [n for n, _ in twin.named_parameters()]
        x = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
        values = [torch.randn(2, dtype=torch.float64, requires_grad=True) for _ in names]

        def run(x, *values):
            buffers = {n: b.clone() for n, b in twin.named_buffers()}
            return torch.func.functional_call(twin, {**dict(zip(names, values, strict=True)), **buffers}, (x,))

        assert gradcheck(run, (x, *values), check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(run, (x, *values))

    def test_second_derivatives_are_torchs(self):
        """A gradient penalty, as in training a critic."""
        penalties = []
        for make in (autograd.BatchNorm, nn.BatchNorm2d):
            torch.manual_seed(1)
            net = nn.Sequential(nn.Conv2d(2, 3, 3), make(3), nn.ReLU(), nn.Conv2d(3, 1, 3)).double()
            x = torch.randn(4, 2, 6, 6, dtype=torch.float64, requires_grad=True)
            (g,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
            g.square().sum().backward()
            penalties.append([p.grad for p in net.parameters()])
        for mine, torchs in zip(*penalties, strict=True):
            torch.testing.assert_close(mine, torchs)

    @pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm"])
    def test_train_save_and_load_in_a_sequential(self, name):
        def network():
            norm = getattr(autograd, name)(4, affine=True, track_running_stats=True)
            return nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))

        torch.manual_seed(0)
        net = network()
        x = torch.randn(64, 1, 8, 8)
        labels = (x.mean((1, 2, 3)) > 0).long()
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
        assert net[1].num_batches_tracked == 60
        buffer = io.BytesIO()
        torch.save(net.state_dict(), buffer)
        buffer.seek(0)
        loaded = network()
        loaded.load_state_dict(torch.load(buffer, weights_only=True))
        assert torch.equal(loaded.eval()(x), net.eval()(x))

    def test_move_with_to(self):
        twin = autograd.BatchNorm(3).to(torch.float64)
        assert {t.dtype for t in (*twin.parameters(), twin.running_mean, twin.running_var)} == {torch.float64}
        assert twin.num_batches_tracked.dtype == torch.int64
        meta = autograd.BatchNorm(3, device="meta")
        assert {t.device.type for t in meta.state_dict().values()} == {"meta"}
        assert meta.to_empty(device="cpu").weight.device.type == "cpu"

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_is_computed_in_float32(self, dtype):
        x = (torch.randn(16, 3, 9) + 100).to(dtype).requires_grad_()
        twin = autograd.BatchNorm(3)
        y = twin(x)
        y.sum().backward()
        assert y.dtype == x.grad.dtype == dtype
        expected = nn.functional.batch_norm(x.detach().float(), None, None, training=True).to(dtype)
        torch.testing.assert_close(y, expected)
        assert twin.running_mean.dtype == torch.float32

    def test_empty_batches_count_and_say_nothing(self):
        twin = autograd.BatchNorm(3)
        y = twin(torch.zeros(0, 3, 4, requires_grad=True))
        y.sum().backward()
        assert y.shape == (0, 3, 4)
        assert twin.num_batches_tracked == 1
        assert twin.running_var.tolist() == [1, 1, 1]
        assert twin.weight.grad.tolist() == [0, 0, 0]

    @pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm"])
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_state_is_the_numpy_layers(self, name, options):
        layer, twin = getattr(nc, name)(3, **options), getattr(autograd, name)(3, **options)
        assert list(layer.state_dict()) == list(twin.state_dict())
        layer.load_state_dict(twin.state_dict())
        twin.load_state_dict({k: torch.as_tensor(v) for k, v in layer.state_dict().items()})
        assert repr(layer) == repr(twin)

    @pytest.mark.parametrize(("call", "error", "message"), [
        (lambda: autograd.BatchNorm(0), ValueError, "num_features is 0, wanted at least 1"),
        (lambda: autograd.BatchNorm(2.0), TypeError, "num_features is 2.0, wanted an integer"),
        (lambda: autograd.BatchNorm(2, eps=0), ValueError, "eps is 0, wanted"),
        (lambda: autograd.InstanceNorm(2, momentum=2), ValueError, "momentum is 2, wanted"),
        (lambda: autograd.BatchNorm(2)(torch.zeros(3)), ValueError, r"shape \(3,\), wanted \(N, C\)"),
        (lambda: autograd.BatchNorm(2)(torch.zeros(3, 4)), ValueError, r"\(3, 4\) and 4 channels, wanted 2"),
        (lambda: autograd.BatchNorm(2)(torch.zeros(1, 2)), ValueError, "1 value for a channel in this batch"),
        (lambda: autograd.InstanceNorm(2)(torch.zeros(3, 2)), ValueError, r"\(3, 2\), wanted \(N, C, L\)"),
        (lambda: autograd.InstanceNorm(2)(torch.zeros(3, 2, 1)), ValueError, "1 value for an instance"),
        (lambda: autograd.BatchNorm(2)(torch.zeros(3, 2, dtype=torch.int64)), TypeError, "x has dtype torch.int64"),
        (lambda: autograd.BatchNorm(2).eval()(torch.ones(3, 2).int()), TypeError, "x has dtype torch.int32"),
        (lambda: autograd.BatchNorm(2).eval()(torch.ones(3, 2) > 0), TypeError, "x has dtype torch.bool"),
        (lambda: autograd.BatchNorm(2).eval()(torch.ones(3, 2) + 1j), TypeError, "x has dtype torch.complex64"),
        (lambda: autograd.RMSNorm(2)(torch.ones(3, 2) + 1j), TypeError, "x has dtype torch.complex64"),
    ])  # fmt: skip
    def test_errors(self, call, error, message):
        with pytest.raises(error, match=message):
            call()

    def test_a_failed_call_changes_nothing(self):
        twin = autograd.BatchNorm(2)
        before = copy.deepcopy(twin.state_dict())
        for shape in ((1, 2), (3, 4), (3,)):
            with pytest.raises(ValueError, match="wanted"):
                twin(torch.zeros(shape))
        for key, value in twin.state_dict().items():
            assert torch.equal(value, before[key])


def resnet(swap):
    """Two stages of residual blocks, every norm torch's or a twin."""

    class Block(nn.Module):
        def __init__(self, cin, cout, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
            self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
            self.short = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

        def forward(self, x):
            return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + self.short(x))

    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), Block(8, 8, 1), Block(8, 16, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    )
    if swap:
        for module in list(net.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, autograd.BatchNorm(child.num_features))
    return net


IMAGES, LABELS = torch.randn(12, 3, 10, 10), torch.arange(12) % 4


def loss(net, x=IMAGES):
    return nn.functional.cross_entropy(net(x), LABELS)


def same_state(net, theirs, tolerance=2e-6):
    for (key, a), b in zip(net.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, msg=key)


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")  # torch.compile says so
class TestInAResNet:
    def train(self, net, wrap=lambda net: net, steps=3):
        run, optimizer = wrap(net), torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            value = loss(run)
            value.backward()
            optimizer.step()
            losses.append(value.item())
        return losses

    @pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
    def test_train(self, layout):
        nets = [resnet(swap).to(memory_format=layout) for swap in (True, False)]
        mine, torchs = map(self.train, nets)
        assert mine == pytest.approx(torchs, rel=1e-5)
        same_state(*nets, 2e-5)
        assert nets[0][1](torch.randn(2, 8, 4, 4).to(memory_format=layout)).is_contiguous(memory_format=layout)

    @pytest.mark.slow
    def test_compile_without_a_graph_break(self):
        torch._dynamo.reset()
        nets = [resnet(swap) for swap in (True, False)]
        mine = self.train(nets[0], lambda net: torch.compile(net, fullgraph=True, backend="aot_eager"))
        assert mine == pytest.approx(self.train(nets[1]), rel=1e-5)
        same_state(*nets, 2e-5)

    @pytest.mark.parametrize("make", [
        lambda: autograd.BatchNorm(4, momentum=None), lambda: autograd.InstanceNorm(4, affine=True),
        lambda: autograd.LayerNorm(5), lambda: autograd.GroupNorm(2, 4), lambda: autograd.RMSNorm(5),
    ])  # fmt: skip
    def test_compile_each(self, make):
        torch._dynamo.reset()
        eager, x = make(), torch.randn(3, 4, 5, requires_grad=True)
        other = copy.deepcopy(eager)
        compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
        for _ in range(2):
            torch.testing.assert_close(compiled(x), eager(x))
        dy = torch.randn(3, 4, 5)
        grads = [torch.autograd.grad(f(x), [x, *m.parameters()], dy) for f, m in ((compiled, other), (eager, eager))]
        torch.testing.assert_close(*grads)
        torch.testing.assert_close(other.state_dict(), eager.state_dict())

    def test_func_transforms(self):
        """grad, vmap of grad, jvp and jacrev in training; unlike torch's layers, the twins take grad while tracking."""
        tracking = resnet(True)
        torch.func.grad(lambda x: tracking(x).sum())(IMAGES)
        assert tracking[1].num_batches_tracked == 1
        results = []
        for swap in (True, False):
            net = torch.func.replace_all_batch_norm_modules_(resnet(swap))
            params = dict(net.named_parameters())
            f = lambda p, x, net=net: torch.func.functional_call(net, p, (x,)).square().sum()  # noqa: E731
            g = torch.func.grad(f)(params, IMAGES)
            tangent = {k: torch.ones_like(v) for k, v in params.items()}
            per = torch.func.vmap(torch.func.grad(f), (None, 0))(params, IMAGES.view(3, 4, 3, 10, 10))
            forward = torch.func.jvp(lambda p, f=f: f(p, IMAGES), (params,), (tangent,))[1]
            jac = torch.func.jacrev(lambda x, net=net: net(x))(IMAGES[:3])
            results.append((g, per, forward, jac))
        for mine, torchs in zip(*results, strict=True):
            torch.testing.assert_close(mine, torchs, rtol=2e-3, atol=2e-4)

    @pytest.mark.parametrize("make", [
        lambda: autograd.BatchNorm(4, track_running_stats=False), lambda: autograd.InstanceNorm(4, affine=True),
        lambda: autograd.LayerNorm((4, 5)), lambda: autograd.GroupNorm(2, 4), lambda: autograd.RMSNorm((4, 5)),
    ])  # fmt: skip
    def test_all_modes_agree(self, make):
        """Reverse, forward, forward over reverse, and the Hessian both ways."""
        module, x, v = make().double(), torch.randn(3, 4, 5).double(), torch.randn(3, 4, 5).double()
        for p in module.parameters():
            nn.init.normal_(p)
        f = lambda t: module(t).pow(3).sum()  # noqa: E731
        grad = torch.func.grad(f)
        torch.testing.assert_close(torch.func.jvp(f, (x,), (v,))[1], (grad(x) * v).sum())
        torch.testing.assert_close(torch.func.jacfwd(module)(x), torch.func.jacrev(module)(x))
        mixed = torch.func.jvp(grad, (x,), (v,))[1]
        torch.testing.assert_close(mixed, torch.func.vjp(grad, x)[1](v)[0])
        torch.testing.assert_close(mixed, (grad(x + 1e-6 * v) - grad(x - 1e-6 * v)) / 2e-6, rtol=1e-5, atol=1e-6)
        with forward_ad.dual_level():  # backward of dual numbers, without create_graph
            dual = forward_ad.make_dual(x.clone().requires_grad_(), v)
            (g,) = torch.autograd.grad(f(dual), dual)
            torch.testing.assert_close(forward_ad.unpack_dual(g).tangent, mixed)

    @pytest.mark.slow
    def test_export(self):
        for training in (True, False):
            net = resnet(True).train(training)
            expected = copy.deepcopy(net)(IMAGES)
            torch.testing.assert_close(torch.export.export(net, (IMAGES,)).module()(IMAGES), expected)

    def test_symbolic_trace_keeps_it_one_node(self):
        net = resnet(True).eval()
        traced = torch.fx.symbolic_trace(net)
        assert sum(isinstance(m, autograd.BatchNorm) for m in traced.modules()) == 7
        torch.testing.assert_close(traced(IMAGES), net(IMAGES))

    def test_autocast(self):
        losses, states = [], []
        for swap in (True, False):
            net = resnet(swap)
            with torch.autocast("cpu", torch.bfloat16):
                value = loss(net)
            value.backward()
            losses.append(value.item())
            states.append(net)
        assert losses[0] == pytest.approx(losses[1], rel=1e-2)
        same_state(*states, 1e-2)

    def test_half_precision_keeps_no_more_than_torch(self):
        kept = []
        for make in (autograd.BatchNorm, nn.BatchNorm2d):
            sizes = {}
            norm, x = make(8), torch.randn(4, 8, 16, 16).bfloat16().requires_grad_()
            note = lambda t, s=sizes: s.update({t.data_ptr(): t.nbytes}) or t  # noqa: E731
            with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
                norm(x)
            kept.append(sum(sizes.values()))
        assert kept[0] <= 1.05 * kept[1]

    def test_checkpointing(self):
        from torch.utils.checkpoint import checkpoint

        counts = []
        for swap in (True, False):
            net = resnet(swap)
            checkpoint(net, IMAGES, use_reentrant=False).sum().backward()
            counts.append(net[1].num_batches_tracked.item())
        assert counts[0] == counts[1]

    def test_tools_that_ask_isinstance(self):
        nets = [resnet(swap) for swap in (True, False)]
        for net in nets:
            torch.optim.swa_utils.update_bn([IMAGES[:6], IMAGES[6:] * 2], net)
        same_state(*nets)
        assert nets[0][1].num_batches_tracked == 2
        fused = [nn.utils.fusion.fuse_conv_bn_eval(n[0].eval(), n[1].eval())(IMAGES) for n in nets]
        torch.testing.assert_close(*fused)
        frozen = [m for m in nets[0].modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        assert len(frozen) == 7
        synced = nn.SyncBatchNorm.convert_sync_batchnorm(nets[0])
        assert sum(type(m) is nn.SyncBatchNorm for m in synced.modules()) == 7
        torch.testing.assert_close(synced.eval()(IMAGES), nets[1].eval()(IMAGES))

    def test_checkpoints_of_all_kinds(self):
        old = dict(nn.BatchNorm2d(3).state_dict())
        old.pop("num_batches_tracked")
        autograd.BatchNorm(3).load_state_dict(old)
        with torch.device("meta"):
            meta = autograd.BatchNorm(3)
        meta.load_state_dict(nn.BatchNorm2d(3).state_dict(), assign=True)
        assert {t.device.type for t in meta.state_dict().values()} == {"cpu"}
        with torch.device("meta"):
            meta = autograd.BatchNorm(3)
        meta.load_state_dict(old, assign=True)
        assert {t.device.type for t in meta.state_dict().values()} == {"cpu"}
        empty = autograd.BatchNorm(3, bias=False, device="meta").to_empty(device="cpu")
        empty.reset_parameters()
        assert [t.tolist() for t in empty.state_dict().values()] == [[1] * 3, [0] * 3, [1] * 3, 0]
        assert autograd.BatchNorm(3, 1e-5, 0.1, True, True, "cpu", torch.float64).weight.dtype == torch.float64

    def test_onnx_by_the_older_exporter(self):
        """Statistics of the batch: the output is the normalized x, not another result of the function."""
        import onnx
        from onnx.reference import ReferenceEvaluator

        for module, mode in (
            (autograd.InstanceNorm(3, affine=True), False), (autograd.BatchNorm(3, track_running_stats=False), False),
            (autograd.BatchNorm(3), False), (autograd.LayerNorm(5), False), (autograd.GroupNorm(3, 3), False),
            (autograd.RMSNorm(5), False),
        ):  # fmt: skip
            x, buffer = torch.randn(4, 3, 5) * 3 + 1, io.BytesIO()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(module.train(mode), (x,), buffer, dynamo=False)
            run = ReferenceEvaluator(onnx.load_from_string(buffer.getvalue()))
            (y,) = run.run(None, {run.input_names[0]: x.numpy()})
            np.testing.assert_allclose(y, module(x).detach(), atol=2e-6)


class TestNumbers:
    def test_float64_cumulative_average(self):
        twin = autograd.BatchNorm(1, momentum=None, dtype=torch.float64)
        for v in (6.0, 7.0, 8.0):
            twin(torch.tensor([[5.0], [v]], dtype=torch.float64))
        assert twin.running_mean.item() == pytest.approx(6, abs=1e-15)

    @pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 1e30), (torch.float64, 1e200)])
    def test_large_values(self, dtype, size):
        x = torch.randn(64, 3, dtype=torch.float64, requires_grad=True)
        expected = (x - x.mean(0)) / x.std(0, correction=0)
        dy, scale = torch.randn(64, 3, dtype=torch.float64), torch.tensor([size, 1, size], dtype=torch.float64)
        (want,) = torch.autograd.grad(expected, x, dy)
        twin = autograd.BatchNorm(3, eps=1e-30, dtype=dtype)
        t = (x * scale).detach().to(dtype).requires_grad_()
        y = twin(t)
        torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
        (dx,) = torch.autograd.grad(y, t, dy.to(dtype))
        torch.testing.assert_close(dx.double() * scale, want, rtol=1e-4, atol=1e-4)
        assert not twin.running_var.isnan().any()

    def test_tracking_turned_off_later(self):
        for name in ("BatchNorm", "InstanceNorm"):
            twin = getattr(autograd, name)(3, track_running_stats=True)
            twin.track_running_stats = False
            twin(torch.randn(9, 3, 4) + 5)
            assert twin.num_batches_tracked == 0
            assert twin.running_mean.tolist() == [0, 0, 0]
            twin.running_mean = twin.running_var = None
            twin(torch.randn(9, 3, 4))

    @pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm", "LayerNorm", "GroupNorm", "RMSNorm"])
    def test_fake_tensors_and_make_fx(self, name):
        """What plans memory without numbers, or records operations, meets no question about a value."""
        sizes = (2, 6) if name == "GroupNorm" else (6,)
        x, twin = torch.randn(4, 6, 6), getattr(autograd, name)(*sizes)
        torch.testing.assert_close(make_fx(twin)(x)(x + 1), twin(x + 1))
        with FakeTensorMode():
            x = torch.empty(4, 6, 6, requires_grad=True)
            getattr(autograd, name)(*sizes)(x).sum().backward()
            assert x.grad.shape == x.shape

    @pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
    def test_nonfinite_values_spread_as_in_torch(self, value):
        x = torch.randn(3, 4, 5)
        x[1, 2, 3] = value
        for mine, theirs in ((autograd.RMSNorm(5), nn.RMSNorm(5)), (autograd.LayerNorm(5), nn.LayerNorm(5)),
                             (autograd.BatchNorm(4), nn.BatchNorm1d(4))):  # fmt: skip
            torch.testing.assert_close(mine(x), theirs(x), equal_nan=True)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("make", [
        lambda m, **k: m.LayerNorm((4, 5), **k), lambda m, **k: m.LayerNorm(5, bias=False, **k),
        lambda m, **k: m.GroupNorm(3, 6, **k), lambda m, **k: m.GroupNorm(1, 6, affine=False, **k),
        lambda m, **k: m.RMSNorm((4, 5), **k), lambda m, **k: m.RMSNorm(5, 1e-3, elementwise_affine=False, **k),
    ])  # fmt: skip
    def test_layer_and_group_norm_are_torchs(self, make, dtype):
        mine, theirs = make(autograd, dtype=dtype), make(nn, dtype=dtype)
        for p in theirs.parameters():
            nn.init.normal_(p)
        mine.load_state_dict(theirs.state_dict())
        x, dy = torch.randn(3, 6, 4, 5, dtype=dtype, requires_grad=True), torch.randn(3, 6, 4, 5, dtype=dtype)
        torch.testing.assert_close(mine(x), theirs(x))
        grads = [torch.autograd.grad(m(x), [x, *m.parameters()], dy) for m in (mine, theirs)]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("size", [1e-4, 1e-2, 1])
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_the_eps_that_rms_norm_takes_is_torchs(self, dtype, size):
        """The step of what computes: float32 for half precision, whose own step would drown small values."""
        x, dy = size * torch.randn(6, 8), torch.randn(6, 8)
        exact = autograd.RMSNorm(8, eps=torch.finfo(torch.promote_types(dtype, torch.float32)).eps).double()
        mine, theirs = autograd.RMSNorm(8, dtype=dtype), nn.RMSNorm(8, dtype=dtype)
        x = x.to(dtype).requires_grad_()
        wide = x.detach().double().requires_grad_()
        tolerance = {"rtol": 4 * torch.finfo(dtype).eps, "atol": 0}
        torch.testing.assert_close(mine(x).double(), exact(wide), **tolerance)
        if VERSION >= (2, 13):  # torch 2.4 took the step of half precision itself
            torch.testing.assert_close(mine(x), theirs(x), **tolerance)
        grads = [torch.autograd.grad(f(a), a, dy.to(a.dtype))[0].double() for f, a in ((mine, x), (exact, wide))]
        assert (grads[0] - grads[1]).abs().max() < 20 * torch.finfo(dtype).eps * grads[1].abs().max()

    def test_layer_and_group_norm_refuse(self):
        with pytest.raises(ValueError, match=r"x has shape \(3, 4\), wanted \(..., 5\)"):
            autograd.LayerNorm(5)(torch.zeros(3, 4))
        with pytest.raises(ValueError, match=r"x has shape \(3, 4\), wanted \(N, 6, ...\)"):
            autograd.GroupNorm(2, 6)(torch.zeros(3, 4))
