"""What is trained, and how dangerous that is: the quiet ones first."""

from __future__ import annotations

import textwrap

import pytest
from judging import Scene

from clipcheck import idle
from clipcheck.extract import extract_text
from clipcheck.findings import RISKS, Evidence, Site, Span
from clipcheck.flow.interpreter import Interpreter
from clipcheck.flow.records import Sightings
from clipcheck.flow.values import Object, Tensor, Unknown
from clipcheck.handwritten import Reader
from clipcheck.knowledge import load
from clipcheck.lengths import LONGEST, number
from clipcheck.naming import risk_words, with_article, words
from clipcheck.project import Project
from clipcheck.risk import Assessment, Assessor

KNOWLEDGE = load()
HEAD = "import math\nimport torch\nfrom torch import nn\nimport torch.nn.functional as F\n"
LOOP = """
model = {made}
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for x, y in loader:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
"""


def assess_files(files: dict[str, str], notes: tuple[Evidence, ...] = (), **settings) -> Assessment:
    sources = {f"/p/{name}": text for name, text in files.items()}
    project = Project(sources, lambda name: extract_text(sources[name], name), KNOWLEDGE)
    sightings = Interpreter(project).run(["/p/train.py"])
    (step,) = sightings.steps.values()
    assessor = Assessor(project, sightings, **settings)
    found = [
        assessor.assess(context.models, "/p/train.py", notes, context.reached) for context in step.contexts
    ]
    return max(found, key=lambda one: RISKS.index(one.risk))


def assess(classes: str, made: str = "Net()", notes: tuple[Evidence, ...] = (), **settings) -> Assessment:
    source = HEAD + textwrap.dedent(classes) + LOOP.format(made=made)
    return assess_files({"train.py": source}, notes, **settings)


def net(body: str, forward: str = "return self.layers(x)", name: str = "Net", given: str = "x") -> str:
    body = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
    forward = textwrap.indent(textwrap.dedent(forward).strip(), " " * 8)
    return (
        f"class {name}(nn.Module):\n    def __init__(self, hidden=64):\n        super().__init__()\n{body}\n"
        f"    def forward(self, {given}):\n{forward}\n"
    )


MLP = "self.layers = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))"
CNN = "self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8, 2))"

SCALED = "class Scaled(nn.Module):\n    def forward(self, x):\n        return {}\n"

QUIET = {
    "shallow MLP": (net(MLP), "Net()", "none", "linear"),
    "a bare layer": ("", "nn.Linear(3, 1)", "none", "linear"),
    "plain CNN": (net(CNN), "Net()", "none", "convolution"),
    "CNN with normalisation": (
        net("self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())"),
        "Net()",
        "low",
        "convolution",
    ),
    "deep CNN with normalisation": (
        net(
            "self.layers = nn.Sequential(*[nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)) for _ in range(60)])"
        ),
        "Net()",
        "low",
        "convolution",
    ),
    "normalisation by function": (
        net(
            "self.layers = nn.ModuleList([nn.Conv2d(8, 8, 3) for _ in range(60)])",
            "return F.layer_norm(x, (8,))",
        ),
        "Net()",
        "low",
        "convolution",
    ),
    "normalisation by hand": (
        SCALED.format("(x - x.mean()) / x.std()")
        + net(
            "self.layers = nn.ModuleList([nn.Sequential(nn.Conv2d(8, 8, 3), Scaled()) for _ in range(60)])"
        ),
        "Net()",
        "low",
        "convolution",
    ),
    "normalisation of a kind that is chosen by name": (
        "from mine import registry\n"
        + net(
            "self.layers = nn.ModuleList(\n"
            "    [nn.Sequential(nn.Conv2d(8, 8, 3), registry.get(norm_type)(8)) for _ in range(60)]\n)"
        ),
        "Net()",
        "low",
        "convolution",
    ),
    "normalisation under a name of its own": (
        "from mine import registry\n"
        + net(
            "layers = []\nfor _ in range(60):\n    layer_norm = registry['bn'](8)\n"
            "    layers += [nn.Conv2d(8, 8, 3), layer_norm]\nself.layers = nn.Sequential(*layers)"
        ),
        "Net()",
        "low",
        "convolution",
    ),
    "an embedding and a linear layer": (
        net(
            "self.tok = nn.Embedding(100, 8)\nself.head = nn.Linear(8, 100)", "return self.head(self.tok(x))"
        ),
        "Net()",
        "none",
        "linear",
    ),
    "discriminator": (net(CNN, name="Discriminator"), "Discriminator()", "low", "adversarial"),
    "a generator beside a discriminator": (
        "D = nn.Linear(2, 1)\nG = nn.Linear(4, 2)\n",
        "G",
        "low",
        "adversarial",
    ),
    "policy": (net(MLP, name="PolicyNet"), "PolicyNet()", "low", "policy"),
    "graph network": (
        "from torch_geometric.nn import GCNConv\n"
        + net("self.conv1 = GCNConv(8, 8)\nself.lin = nn.Linear(8, 2)", "return self.lin(self.conv1(x))"),
        "Net()",
        "low",
        "graph",
    ),
    "a graph attention layer": (
        net("self.w = nn.Linear(8, 8)", "return F.softmax(q @ k.transpose(0, 1), 1)", name="GraphAttention"),
        "GraphAttention()",
        "low",
        "graph",
    ),
    "graph state": (
        net("self.a = nn.Linear(8, 8)", "h = self.a(h)\nreturn h", given="g, h"),
        "Net()",
        "none",
        "linear",
    ),
    "not found": ("from elsewhere import build\n", "build()", "low", "unknown"),
    "a Transformer of images": (
        net(CNN + "\nself.last = nn.Conv2d(8, 3, 3)", name="TransformerNet"),
        "TransformerNet()",
        "none",
        "convolution",
    ),
    "channel attention": (
        net(CNN + "\nself.squeeze = ChannelAttention()")
        + net("self.fc = nn.Conv2d(8, 8, 1)", "return self.fc(x)", name="ChannelAttention"),
        "Net()",
        "none",
        "convolution",
    ),
    "layers in a loop over hidden states": (
        net(
            "self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(4)])",
            "h = x\nfor layer in self.layers:\n    h = torch.relu(layer(h))\nreturn h",
        ),
        "Net()",
        "none",
        "linear",
    ),
    "layers by index": (
        net(
            "self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(4)])",
            "h = x\nfor i in range(4):\n    h = torch.relu(self.layers[i](h))\nreturn h",
        ),
        "Net()",
        "none",
        "linear",
    ),
    "layers with skips": (
        net(
            "self.layers = nn.ModuleList([nn.Conv2d(8, 8, 1) for _ in range(4)])",
            "h = x\nfor layer, skip in zip(self.layers, skips):\n    h = layer(torch.cat([h, skip], 1))\nreturn h",
        ),
        "Net()",
        "none",
        "convolution",
    ),
    "a hidden layer at every time step": (
        net(
            "self.a = nn.Linear(8, 8)\nself.b = nn.Linear(8, 8)",
            "for t in range(9):\n    h = self.a(x[t])\n    h = self.b(h)\n    outputs.append(h)\nreturn outputs",
        ),
        "Net()",
        "none",
        "linear",
    ),
    "softmax of a classifier": (
        net("self.a = nn.Linear(8, 8)", "z = self.a(x) @ self.w\nreturn F.softmax(z, dim=1)"),
        "Net()",
        "none",
        "linear",
    ),
    "a critic of a state and an action": (
        net("self.q = nn.Linear(8, 1)", "return self.q(torch.cat([state, action], 1))", "Q", "state, action"),
        "Q()",
        "none",
        "linear",
    ),
    "nineteen layers": (
        net("self.layers = nn.Sequential(*[nn.Linear(8, 8) for _ in range(19)])"),
        "Net()",
        "none",
        "linear",
    ),
}


@pytest.mark.parametrize(("classes", "made", "risk", "family"), QUIET.values(), ids=QUIET.keys())
def test_quiet(classes, made, risk, family):
    found = assess(classes, made)
    assert (found.risk, found.family) == (risk, family)


STATE = """
combined = torch.cat((input, hidden), 1)
hidden = self.i2h(combined)
output = self.i2o(combined)
return output, hidden
"""
BLOCK = net(
    "self.a = nn.Linear(8, 8)\nself.b = nn.Linear(8, 8)", "return x + self.b(F.relu(self.a(x)))", "Block"
)
PLAIN = BLOCK.replace("return x + ", "return ")
ATTENTION = """
q, k, v = self.qkv(x).split(8, dim=2)
att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(8))
att = att.masked_fill(self.mask, float("-inf"))
att = F.softmax(att, dim=-1)
return att @ v
"""

LOUD = {
    "LSTM": (net("self.rnn = nn.LSTM(8, 8)", "return self.rnn(x)"), "Net()", "high", "recurrent"),
    "a bare GRU": ("", "nn.GRU(8, 8)", "high", "recurrent"),
    "LSTM under normalisation": (
        net("self.norm = nn.LayerNorm(8)\nself.rnn = nn.LSTM(8, 8)", "return self.norm(x)"),
        "Net()",
        "high",
        "recurrent",
    ),
    "a subclass of LSTM": ("class Reader(nn.LSTM):\n    pass\n", "Reader(8, 8)", "high", "recurrent"),
    "a layer chosen by its name": (
        net("self.rnn = getattr(nn, kind_from_afar)(8, 8)\nself.out = nn.Linear(8, 8)", "return self.rnn(x)"),
        "Net()",
        "high",
        "recurrent",
    ),
    "a cell by its class name": (
        net("self.conv = nn.Conv2d(8, 8, 3)", "return self.conv(x)", "ConvLSTMCell"),
        "ConvLSTMCell()",
        "high",
        "recurrent",
    ),
    "the state handed back": (
        net("self.i2h = nn.Linear(8, 8)\nself.i2o = nn.Linear(8, 8)", STATE, given="input, hidden"),
        "Net()",
        "high",
        "recurrent",
    ),
    "the state of a decoder handed back": (
        net(
            "self.i2h = nn.Linear(8, 8)\nself.i2o = nn.Linear(8, 8)",
            STATE.replace("hidden", "decoder_hidden_state"),
            given="input, decoder_hidden_state",
        ),
        "Net()",
        "high",
        "recurrent",
    ),
    "a cell by its name": (net(MLP, name="DCGRUCell"), "DCGRUCell()", "high", "recurrent"),
    "a loop over time": (
        net(
            "self.wx = nn.Linear(8, 8)\nself.wh = nn.Linear(8, 8)",
            "h = torch.zeros(8)\nfor t in range(x.size(0)):\n    h = torch.tanh(self.wx(x[t]) + self.wh(h))\nreturn h",
        ),
        "Net()",
        "high",
        "recurrent",
    ),
    "gates by matrices": (
        net(
            "self.out = nn.Linear(8, 8)\nself.w = nn.Parameter(torch.zeros(8, 8))",
            "for step in x:\n    gates = step @ self.u + h @ self.w\n    h = torch.tanh(gates)\nreturn self.out(h)",
        ),
        "Net()",
        "high",
        "recurrent",
    ),
    "Transformer of unknown length": (
        net("self.enc = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 6)", "return self.enc(x)"),
        "Net()",
        "medium",
        "transformer",
    ),
    "attention by hand": (net("self.qkv = nn.Linear(8, 24)", ATTENTION), "Net()", "medium", "transformer"),
    "attention by function": (
        net("self.qkv = nn.Linear(8, 24)", "return F.scaled_dot_product_attention(x, x, x)"),
        "Net()",
        "medium",
        "transformer",
    ),
    "attention by class name": (
        net("self.a = MultiHeadAttention()", "return self.a(x)") + net(MLP, name="MultiHeadAttention"),
        "Net()",
        "medium",
        "transformer",
    ),
    "image network with attention": (
        net(CNN + "\nself.c3 = nn.Conv2d(8, 8, 3)\nself.attn = nn.MultiheadAttention(8, 2)", name="UNet"),
        "UNet()",
        "medium",
        "attention",
    ),
    "twenty layers": (
        net("self.layers = nn.Sequential(*[nn.Linear(8, 8) for _ in range(20)])"),
        "Net()",
        "medium",
        "deep",
    ),
    "sixty layers": (
        net(
            "layers = []\nfor _ in range(60):\n    layers.append(nn.Linear(8, 8))\nself.layers = nn.Sequential(*layers)"
        ),
        "Net()",
        "high",
        "deep",
    ),
    "sixty layers with scales": (
        SCALED.format("(x - x.min()) / x.std() + x.mean() / 2").replace("x - x.min()", "x * x.min()")
        + net("self.layers = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), Scaled()) for _ in range(60)])"),
        "Net()",
        "high",
        "deep",
    ),
    "sixty layers with something that is chosen by name": (
        "from mine import registry\n"
        + net(
            "self.layers = nn.Sequential(\n"
            "    *[nn.Sequential(nn.Linear(8, 8), registry.get(act_type)(8)) for _ in range(60)]\n)"
        ),
        "Net()",
        "high",
        "deep",
    ),
    "thirty blocks of two, gone around in a loop": (
        PLAIN
        + net(
            "self.layers = nn.ModuleList([Block() for _ in range(30)])",
            "for number, layer in enumerate(self.layers):\n    x = x + layer(x)\nreturn x",
        ),
        "Net()",
        "medium",
        "deep",
    ),
    "thirty blocks of two": (
        PLAIN + net("self.layers = nn.ModuleList([Block() for _ in range(30)])"),
        "Net()",
        "high",
        "deep",
    ),
    "thirty residual blocks of two": (
        BLOCK + net("self.layers = nn.ModuleList([Block() for _ in range(30)])"),
        "Net()",
        "medium",
        "deep",
    ),
}


@pytest.mark.parametrize(("classes", "made", "risk", "family"), LOUD.values(), ids=LOUD.keys())
def test_loud(classes, made, risk, family):
    found = assess(classes, made)
    assert (found.risk, found.family) == (risk, family)
    assert found.evidence


GPT = net("self.attn = nn.MultiheadAttention(8, 2)", "return self.attn(x, x, x)")


@pytest.mark.parametrize(
    ("setting", "length"),
    [
        ("block_size = 128", 128),
        ("parser.generate(max_length=2048)", None),
        ("batch_size = 4096", None),
        ("context_size = 2", None),  # of a decoder that looks back two symbols
        ("block_size = 1024", 1024),
        ("block_size = 2 ** 10", 1024),
        ("config = dict(block_size=4 * 256)", 1024),
        ("config = {'max_seq_len': 1024}", 1024),
        ("parser.add_argument('--block-size', type=int, default=1024)", 1024),
        ("flags.DEFINE_integer('max_seq_length', 512, 'tokens')", 512),
        ("tokens = tokenizer(text, truncation=True, max_length=512)", 512),
        ("def encode(text, seq_len=600):\n    return text", 600),
        ("class Config:\n    context_length: int = 768", 768),
        ("parser.add_argument('-max_sequence', type=int, default=2048)", 2048),
        ("settings = {'max_seq': 600}", 600),
        ("max_sequences = 4096", None),  # of a batch
        ("class PositionalEncoding:\n    def __init__(self, max_len=5000):\n        pass", None),
        ("def generate(model, max_len=5000):\n    return model", None),
        ("tokenizer.model_max_length = 10 ** 30", None),
        ("max_tokens = 20000", None),  # of a vocabulary, of a batch or of an answer
        ("parser.add_argument('--max-length', default=800, help='how much to generate')", None),
        ("config.max_position_embeddings = 4096", None),
        ("max_len = 5000\npositions = PositionalEncoding(8, max_len)", None),
        ("max_len = 5000\ntable = nn.Embedding(max_len, 8)\nseq_len = 64", 64),
        ("max_len = 700\ntable = nn.Embedding(max_len, 8)\nloader = make_loader(text, max_len)", 700),
        ("def build(max_len=5000):\n    return nn.Embedding(num_embeddings=max_len)", None),
        ("max_length = 60\ncut = TextVectorization(max_tokens=20000, output_sequence_length=max_length)", 60),
        ("block_size = 64\nseq_len = 1024\nmax_len = 2048", 64),  # nothing says which of them is meant
        ("block_size = 64\nseq_len = 1024\nx = pad_sequences(text, maxlen=seq_len)", 1024),
        ("block_size = 64\nseq_len = 1024\ndef get_batch(text):\n    return text[:seq_len]", 1024),
        ("block_size = 64\nseq_len = 1024\ndef get_batch(text, seq_len):\n    return text[:seq_len]", 64),
        ("x = tokenize(text, max_length=600)\nx = tokenize(text, max_length=90)", 90),
        ("seq_len = 600\nseq_len = 90", 90),
        ("seq_len = 600\nx = tokenize(text, seq_len)\nseq_len = 20\nx = tokenize(text, seq_len)", 20),
        ("seq_len = 600\nx = tokenize(text, max_len=1)", 600),
        ("x = tokenize(text, max_source_length=600)\nx = tokenize(text, max_target_length=90)", 600),
        ("seq_len = 2048\nx = decode_dataset(text, seq_len)\nblock_size = 64", 64),
        ("options = {'max_length': 900}\nx = make_dataset(text, options['max_length'])\nseq_len = 64", 900),
    ],
)
def test_sequence_length(setting, length):
    found = assess(f"{setting}\n{GPT}")
    assert found.risk == ("high" if length and length >= 512 else "medium")
    if length is None:
        assert found.summary == "a Transformer"
    else:
        assert found.summary == f"a Transformer on sequences of {length} tokens"
        assert found.evidence[1].message == f"sequence length {length} set here"
        assert found.evidence[1].filename == "/p/train.py"


@pytest.mark.parametrize(
    ("later", "indent", "length"),
    [
        ("block_size = 1024", "", None),
        ("x = tokenize(text, max_length=1024)", "", None),
        ("def get_batch(text):\n    return text[:block_size]\nblock_size = 1024", "", None),
        ("train()\nblock_size = 1024", "    ", None),
        ("block_size = 1024\ntrain()", "    ", 1024),
        ("block_size = 1024", "    ", 1024),  # nobody in sight says when the function runs
    ],
)
def test_what_a_script_sets_behind_its_training_is_of_another_model(later, indent, length):
    loop = textwrap.indent(LOOP.format(made="Net()"), indent)
    loop = f"def train():{loop}" if indent else loop
    found = assess_files({"train.py": f"{HEAD}{GPT}{loop}{later}\n"})
    assert (found.risk == "high") == (length is not None)


def test_the_length_may_stand_in_another_file():
    model = f"import torch\nfrom torch import nn\nblock_size = 2048\n{GPT}"
    train = HEAD + "from model import Net\n" + LOOP.format(made="Net()")
    found = assess_files({"model.py": model, "train.py": train})
    assert found.risk == "high"
    assert [(row.filename, row.row, row.message) for row in found.evidence] == [
        ("/p/model.py", 7, "MultiheadAttention made here"),
        ("/p/model.py", 3, "sequence length 2048 set here"),
    ]


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("config.py", "import config"),
        ("options.py", "from options import Options"),
        ("a.py", "from a import bptt"),
    ],
)
def test_the_length_may_stand_in_imported_settings(name, statement):
    train = f"{HEAD}{statement}\n{GPT}{LOOP.format(made='Net()')}"
    found = assess_files({name: "class Options:\n    bptt = 640\nbptt = 640\n", "train.py": train})
    assert (found.risk, found.evidence[1].filename) == ("high", f"/p/{name}")


def test_a_length_in_any_other_import_is_not_meant():
    train = f"{HEAD}import tools\n{GPT}{LOOP.format(made='Net()')}"
    assert assess_files({"tools.py": "max_len = 9000\n", "train.py": train}).risk == "medium"


def test_settings_move_the_lines():
    assert assess(f"block_size = 128\n{GPT}", settings_long=100).risk == "high"
    assert assess(net(MLP), deep=(2, 3)).risk == "medium"
    assert assess(net(MLP), recurrent_classes=("Net",)).risk == "high"


def test_a_nan_check_raises_to_medium():
    check = Evidence("/p/train.py", 9, "the loss is checked for NaN here")
    found = assess(net(MLP), notes=(check,))
    assert (found.risk, found.evidence[0], found.summary) == ("medium", check, "a shallow MLP")
    assert assess(LOUD["LSTM"][0], notes=(check,)).risk == "high"
    assert assess(net(MLP), notes=(Evidence("/p/train.py", 9, "something else"),)).risk == "none"


def test_the_evidence_and_the_words():
    found = assess(LOUD["LSTM"][0])
    assert found.summary == "an LSTM"
    assert found.evidence == (Evidence("/p/train.py", 8, "LSTM made here"),)
    assert assess(LOUD["the state handed back"][0]).evidence[0].message == "recurrence written by hand here"


def test_the_worst_of_several_models_and_of_alternatives():
    either = net("self.a = nn.Linear(1, 1)") + "import sys\nrnn = nn.GRU(8, 8) if len(sys.argv) else Net()\n"
    assert assess(either, "rnn").risk == "high"


def test_what_nothing_is_known_of_and_what_the_loop_saw():
    project = Project([], lambda name: extract_text("", name), KNOWLEDGE)
    assert Assessor(project, Sightings()).assess((), "/p/x.py", ()).summary == "a model that was not found"
    fed_back = Evidence("/p/x.py", 3, "the model's state is fed back here")
    sightings = Sightings(recurrences={"m": [fed_back]})
    found = Assessor(project, sightings).assess((Unknown("m"),), "/p/x.py", ())
    assert (found.risk, found.evidence) == ("high", (fed_back,))


def test_naming():
    assert [words(name) for name in ("ConvLSTMCell", "LinearNN", "GRUNet")] == [
        "conv_lstm_cell",
        "linear_nn",
        "gru_net",
    ]
    assert [with_article(name) for name in ("LSTM", "GRU", "UNet", "Encoder", "Reader")] == [
        "an LSTM",
        "a GRU",
        "a UNet",
        "an Encoder",
        "a Reader",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1024", 1024),
        ("4 * 256", 1024),
        ("2 ** 10", 1024),
        ("1000 + 24", 1024),
        ("2048 - 1024", 1024),
        ("'256'", 256),
        ("field(default=512)", 512),
        ("field(default='512')", 512),
        ("2 ** 31", 2**31),
        ("999 ** 2", 999**2),
        ("2 ** 32", None),
        ("2 ** (1 - 2)", None),
        ("1000 ** 2", None),
        (f"{LONGEST} * 2", LONGEST * 2),
        (f"{LONGEST + 1} * 2", None),
        (f"2 * {LONGEST + 1}", None),
        ("7 // 2", None),
        ("1 + n", None),
        ("True", None),
        ("1.5", None),
        ("'long'", None),
        ("field()", None),
        ("n", None),
    ],
)
def test_a_whole_number_of_constants(text, expected):
    (given,) = Scene(f"f({text})").call("f(").arguments
    assert number(given) == expected


@pytest.mark.parametrize("risk", ["none", "low", "medium", "high"])
def test_a_risk_in_words(risk):
    assert risk_words(risk) == {"none": "no risk"}.get(risk, f"{risk} risk")


# -- one method, or one piece of a program, at a time ------------------------------------------------


def method(body: str, given: str = "self, xs, h"):
    source = f"def forward({given}):\n" + textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return Scene(source).body[0]


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ("for x in xs:\n    h = self.cell(x, h)", 3),
        ("for x in xs:\n    h = h.matmul(self.w) + x", 3),
        ("for x in xs:\n    h = self.cell(x, h)\n    if done(x):\n        h = new()", 5),
        ("for x in xs:\n    h = self.cell(x, h)\n    h = new()", None),
        ("for x in xs:\n    h = self.dropout(x + h)", None),
        ("for x in xs:\n    h = self.cells[x](h)", None),
        ("for i in range(3):\n    def f():\n        for x in xs: pass\n    h = self.cell(x, h)", None),
        ("for x in xs:\n    y = self.cell(x, h)", None),
    ],
)
def test_a_state_made_from_itself_by_weights(body, row):
    assert Reader(KNOWLEDGE).recurrence(method(body)) == row


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ("return F.softmax(q @ k, -1)", 2),
        ("return F.softmax(q @ xs.t(), -1)", 2),
        ("return F.softmax(q @ xs, -1)", None),
        ("return F.softmax(xs @ h, -1)", None),
        ("s = q @ k.transpose(1, 2)\ns = s / 8\nreturn s.softmax(-1)", 4),
        ("return F.scaled_dot_product_attention(q, k, v)", 2),
    ],
)
def test_attention_by_its_name_or_as_the_softmax_of_a_product(body, row):
    assert Reader(KNOWLEDGE).attention(method(body)) == row


def test_what_is_called_and_whether_gradients_are_off_there():
    body = Scene("""
        a()
        with torch.no_grad():
            b.c()
            if x:
                d()
        @torch.no_grad()
        def f():
            e()
        def g():
            for x in y:
                h()
    """).body
    seen = {name: silent for name, silent in idle._calls(body, KNOWLEDGE.hinted) if name != "no_grad"}
    assert seen == {"a": False, "c": True, "d": True, "e": True, "h": False}


def test_what_has_no_name_has_none():
    (given,) = Scene("f(1)").call("f(").arguments
    assert idle._identifier(given) == ""
    assert idle._identifier(Scene("f(a)").call("f(").arguments[0]) == "a"


def test_a_bare_parameter_is_shown_where_nothing_else_is_trained():
    found = assess(net("self.w = nn.Parameter(torch.zeros(3))", "return x * self.w"))
    assert any("Parameter made here" in one.message for one in found.evidence)


# -- what a class is, seen through its parts ---------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "summary"),
    [
        ("a cell by its class name", "a ConvLSTMCell"),
        ("a layer chosen by its name", "a recurrent network"),
        ("a loop over time", "a recurrence written by hand"),
    ],
)
def test_a_recurrent_network_in_words(key, summary):
    assert assess(*LOUD[key][:2]).summary == summary


def test_a_single_capital_is_read_by_its_name():
    assert [with_article(name) for name in ("N", "G", "")] == ["an N", "a G", "a "]


@pytest.mark.parametrize("name", ["Alexnet", "Encoder", "Informer", "Oracle", "Unit", "inner"])
def test_a_name_that_begins_with_a_vowel(name):
    assert with_article(name) == f"an {name}"


def test_a_policy_by_what_its_program_imports():
    found = assess("import gym\n" + net(MLP))
    assert (found.risk, found.family, found.summary) == ("low", "policy", "a policy")
    assert assess("import gym.wrappers\n" + net(MLP)).family == "policy"
    assert assess("import tools.gym\n" + net(MLP)).family == "linear"


def test_a_tensor_is_no_model():
    project = Project([], lambda name: extract_text("", name), KNOWLEDGE)
    found = Assessor(project, Sightings()).assess((Tensor(frozenset(), True),), "/p/x.py", ())
    assert (found.risk, found.family, found.summary) == ("none", "tensor", "a tensor, not a model")


def test_the_new_state_may_be_computed_where_it_is_returned():
    assert (
        Reader(KNOWLEDGE).recurrence(method("y = self.out(x)\nreturn y, self.cell(x, h)", "self, x, h")) == 3
    )


@pytest.mark.parametrize(
    ("body", "residual"),
    [
        ("y = self.f(x)\nreturn x + y", True),
        ("x += self.f(x)\nreturn x", True),
        ("def later(z):\n    return z + self.f(z)\nreturn self.f(x)", False),
        ("def later(z):\n    y = self.f(z)\n    return y\nreturn x + y", False),
    ],
)
def test_what_goes_around_a_module_is_a_residual_connection(body, residual):
    assert Reader(KNOWLEDGE).residual(method(body, "self, x")) is residual


def test_what_a_constructor_adds_is_no_residual_connection():
    deep = "self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(60)])"
    assert assess(net(f"{deep}\nself.width = hidden + self.count(hidden)")).risk == "high"


GENERATES = "\n    def sample(self, xs, h):\n        for x in xs:\n            h = self.layers(x, h)\n        return h\n"


def test_what_is_generated_step_by_step_is_not_trained_so():
    looped = net(MLP, "return self.{}(x, x)") + GENERATES
    assert assess(looped.format("sample")).risk == "none"
    assert assess(looped.replace("def sample", "def run").format("run")).risk == "high"


def test_an_attention_layer_of_a_library_that_is_not_known():
    head = "from elsewhere import MultiHeadAttention, Mystery, attention\n"
    made = "self.a = Mystery(attention(8))\nself.b = nn.Linear(8, 8)\nself.c = MultiHeadAttention(8)"
    found = assess(head + net(made))
    assert (found.risk, found.family, found.evidence[0].row) == ("medium", "transformer", 11)


@pytest.mark.parametrize("name", ["MiniGPT", "SmallTransformer"])
def test_a_transformer_by_its_name(name):
    found = assess(net(MLP, name=name), f"{name}()")
    assert (found.risk, found.family) == ("medium", "transformer")
    assert found.evidence[0].message == f"{name} made here"


def test_a_transformer_that_carries_a_state_is_not_taken_for_a_recurrent_network():
    looped = "for t in range(9):\n    h = self.layers(x[t] + h)\nreturn h"
    assert assess(net(MLP, looped, "SmallTransformer"), "SmallTransformer()").family == "transformer"
    assert assess(net(MLP, looped)).family == "recurrent"


def test_queries_keys_and_values_are_attention():
    made = "self.q_proj = nn.Linear(8, 8)\nself.k_proj = nn.Linear(8, 8)\nself.v_proj = nn.Linear(8, 8)"
    assert assess(net(made)).family == "transformer"
    assert assess(net(made.replace("v_proj", "w_proj"))).family == "linear"


def test_a_class_keeps_its_own_methods_beside_those_of_a_base_in_a_module():
    base = f"from torch import nn\n{net(MLP, name='Base')}"
    own = "class Net(layers.Base):\n    def forward(self, xs, h):\n        for x in xs:\n            h = self.layers(x, h)\n"
    train = f"{HEAD}import layers\n{own}        return h\n{LOOP.format(made='Net()')}"
    assert assess_files({"layers.py": base, "train.py": train}).family == "recurrent"


def test_a_part_that_is_a_discriminator_says_nothing_of_the_whole():
    part = net(MLP, name="Discriminator")
    assert assess(part + net("self.parts = [Discriminator()]\nself.layers = nn.Linear(8, 8)")).risk == "none"
    assert assess(part, "Discriminator()").family == "adversarial"


@pytest.mark.parametrize(
    ("bound", "adversarial"),
    [
        ("generator = nn.Sequential()\ndiscriminator = nn.Sequential()", True),
        ("g_model = define_generator()\nd_model = define_discriminator().to(device)", True),
        ("class Pair:\n    def __init__(self, g, d):\n        self.netG = g\n        self.netD = d", True),
        ("generator = nn.Sequential()\nd_model = 256", False),
        ("generator = nn.Sequential()\nd_model = args.d_model", False),
        ("generator = nn.Sequential()\nd_model = int(width)", False),
        ("def build(generator, d_model):\n    own.generator = generator\n    own.d_model = d_model", False),
        ("gen = DataGenerator('train.csv')\nd_model = define_discriminator()", False),
        ("gen = ImageDataGenerator(rescale=1 / 255).flow(x)\nD = nn.Sequential()", False),
        ("generator = torch.Generator().manual_seed(0)\ncritic = nn.Sequential()", False),
        ("g = 9.81\nd = nn.Sequential()", False),
    ],
)
def test_two_networks_against_each_other_are_known_by_what_makes_them(bound, adversarial):
    assert assess(f"{net(MLP)}{bound}\n").family == ("adversarial" if adversarial else "linear")


def test_a_class_of_the_settings_may_be_named_by_its_base():
    own = "from elsewhere import Cell as Base\n" + net(MLP).replace("nn.Module", "Base")
    assert assess(own, recurrent_classes=("elsewhere.Cell",)).risk == "high"
    assert assess(own, recurrent_classes=("Base",)).risk == "high"
    mixed = own.replace("(Base)", "(nn.Module, Base)")
    assert assess(mixed, recurrent_classes=("elsewhere.Cell",)).risk == "high"
    assert assess(own, recurrent_classes=("elsewhere.Base",)).risk != "high"


def test_a_length_is_shown_where_its_number_stands():
    source = f"size = 1024\n{GPT.replace('hidden=64', 'block_size')}"
    found = assess(source, "Net(block_size=size)")
    assert (found.risk, found.evidence[1].row) == ("high", 5)


def test_a_table_of_positions_is_longer_than_what_is_trained_on():
    table = net(MLP, name="PositionalEncoding").replace("hidden=64", "max_len")
    made = "self.attn = nn.MultiheadAttention(8, 2)\nself.{} = {}(max_len=size)"
    own = "size = 5000\n" + table + net(made.format("pos", "PositionalEncoding"))
    assert assess(own).summary == "a Transformer"
    assert assess(own.replace("PositionalEncoding", "Reader")).risk == "high"
    table = "self.table = nn.Embedding(max_len, 8)\nself.attn = nn.MultiheadAttention(8, 2)"
    own = net(table).replace("hidden=64", "max_len")
    assert assess(own, "Net(max_len=5000)").summary == "a Transformer"
    assert assess(own.replace("Embedding(max_len, 8)", "Linear(8, 8)"), "Net(max_len=5000)").risk == "high"
    assert assess(own, "Net(max_len=5000)").evidence[0].message == "MultiheadAttention made here"
    assert assess(GPT.replace("hidden=64", "max_positions"), "Net(max_positions=5000)").risk == "medium"


@pytest.mark.parametrize(("nested", "risk"), [(3, "high"), (4, "none")])
def test_settings_are_looked_into_for_models_but_not_without_end(nested, risk):
    config = "class Config:\n    def __init__(self, inner):\n        pass\n"
    held = "Config(" * nested + "nn.LSTM(8, 8)" + ")" * nested
    assert assess(f"{config}{net(MLP)}", f"Net({held})").risk == risk


def test_settings_behind_a_name_are_no_part():
    project = Project([], lambda name: extract_text("", name), KNOWLEDGE)
    made = Object("m", Site("/p/x.py", Span(1, 0, 1, 1)), None, "dgl.Settings", None)
    found = Assessor(project, Sightings(objects={"m": made})).assess((Unknown("m"),), "/p/x.py", ())
    assert found.summary == "a model that was not found"


KERAS = """
import keras
import hub
from keras import layers
inputs = keras.Input(shape=(8,))
{body}
model = keras.Model({inputs}, outputs)
model.compile(optimizer="adam", loss="mse")
model.fit([], [])
"""
BY_HAND = """
class {name}:
    def __init__(self):
        self.a, self.b = layers.Dense(8), layers.Dense(8)
    def {method}(self, x):
        return layers.concatenate([self.a(x), self.b(x)])
class Outer:
    def __init__(self):
        self.inner = {name}()
outputs = layers.Dense(1)(Outer().inner{called}(inputs))
"""


@pytest.mark.parametrize(
    ("body", "inputs", "risk", "summary"),
    [
        ("outputs = layers.Dense(1)(layers.Dense(8)(inputs))", "inputs", "none", "a shallow MLP"),
        ("x = keras.applications.VGG16()\noutputs = layers.Dense(1)(x.output)", "x.input", "none", "a plain"),
        ("outputs = layers.Dense(1)(hub.Body('s')(inputs))", "inputs", "low", "a model that was not found"),
        ("outputs = hub.Body('s')(layers.Dense(1)(inputs))", "[inputs]", "low", "a model that was not found"),
        ("b = hub.Body('s')\noutputs = layers.Dense(1)(b(b.input))", "b.input", "low", "a model that was"),
        ("outputs = layers.LSTM(1)(hub.Body('s')(inputs))", "inputs", "high", "an LSTM"),
        (BY_HAND.format(name="SelfAttention", method="__call__", called=""), "inputs", "medium", "a Transf"),
        (BY_HAND.format(name="Mixture", method="__call__", called=""), "inputs", "none", "a shallow MLP"),
        (
            BY_HAND.format(name="SelfAttention", method="mix", called=".mix"),
            "inputs",
            "none",
            "a shallow MLP",
        ),
    ],
)
def test_a_model_of_called_layers(body, inputs, risk, summary):
    found = assess_files({"train.py": KERAS.format(body=body, inputs=inputs)})
    assert found.risk == risk
    assert found.summary.startswith(summary)


@pytest.mark.parametrize(("name", "family"), [("Transformer", "transformer"), ("Tower", "linear")])
def test_a_model_of_called_layers_is_what_the_object_that_holds_it_is_called(name, family):
    source = f"""
import keras
from keras import layers
class {name}:
    def compile(self):
        inputs = keras.Input(shape=(8,))
        self.model = keras.Model(inputs, layers.Dense(1)(inputs))
        self.model.compile(optimizer="adam", loss="mse")
    def softmax(self, q, k):
        return layers.softmax(q @ k)
{name}().compile()
"""
    assert assess_files({"train.py": source}).family == family
