"""Small programs through the abstract run and the judges: what the tests of whole rules start from."""

from __future__ import annotations

from textwrap import dedent

from flowing import HEAD, KNOWLEDGE, ROOT, SETUP, project
from judging import Risky

from clipcheck.config import Settings
from clipcheck.docket import JudgeContext
from clipcheck.findings import Risk, Verdict
from clipcheck.flow.interpreter import Interpreter
from clipcheck.judges import judge

FILE = ROOT + "train.py"
NET = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(4, 8)
        self.decoder = nn.GRU(8, 4)
        self.drop = nn.Dropout(0.1)
model = Net()
optimizer = torch.optim.Adam(model.parameters())
"""


def verdicts(program: str, setup: str = SETUP, risk: Risk = "high") -> list[Verdict]:
    """The verdicts on one program behind a model and its optimizer."""
    return judged(setup + dedent(program), risk)


def judged(text: str, risk: Risk = "high") -> list[Verdict]:
    files = project({"train.py": HEAD + text})
    facts = files.facts(FILE)
    assert facts is not None
    context = JudgeContext(KNOWLEDGE, Settings(), lambda _: Risky(risk), lambda _: facts.body)
    return judge(Interpreter(files).run([FILE]), context)


def codes(program: str, setup: str = SETUP) -> list[str]:
    """The codes of the verdicts, in the order of the rows."""
    return [one.code for one in verdicts(program, setup)]


def turn(*lines: str, after: str = "", before: str = "") -> str:
    """A training loop that clears the gradients, runs the backward, and then these lines."""
    rows = ["optimizer.zero_grad()", "model(x).sum().backward()", *lines]
    return before + "for i, x in enumerate(data):\n" + "".join(f"    {row}\n" for row in rows) + after
