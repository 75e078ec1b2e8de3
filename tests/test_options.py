"""Where programs get their settings from: clipping that is on by default is silent, off by default is CLP102."""

from __future__ import annotations

from textwrap import dedent

import fixturelib
import pytest

IMPORTS = """\
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
"""


def training(guard: str, threshold: str = "", name: str = "train", parameters: str = "") -> str:
    """A function that trains an LSTM and clips where `guard` holds."""
    clip = f"clip_grad_norm_(model.parameters(), {threshold or 1.0})"
    return (
        f"def {name}({parameters}):\n"
        "    model = nn.LSTM(8, 16)\n"
        "    optimizer = torch.optim.Adam(model.parameters())\n"
        "    for _ in range(100):\n"
        "        optimizer.zero_grad()\n"
        "        model(torch.randn(20, 4, 8))[0].pow(2).mean().backward()\n"
        f"        if {guard}:\n"
        f"            {clip}\n"
        "        optimizer.step()\n"
    )


def scan(tmp_path, files, unsafe=False):
    root = tmp_path / "project"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    (root / "pyproject.toml").touch()
    return root, fixturelib.scan(root, fixturelib.settings(root, unsafe=unsafe))


def program(head: str, body: str = "", tail: str = "") -> str:
    return IMPORTS + dedent(head) + "\n" + body + dedent(tail)


BY_ARGS = training("args.clip > 0", "args.clip", parameters="args")
BY_CLIP = training("clip > 0", "clip", name="main", parameters="clip")
BY_CFG = training("cfg.clip > 0", "cfg.clip", parameters="cfg")
BY_ENTRY = training('cfg["train"]["clip"] > 0', 'cfg["train"]["clip"]', parameters="cfg")
ARGPARSE = "import argparse\nparser = argparse.ArgumentParser()\n"

# Each kind of setting, with {} where its default stands: 1.0 clips, 0.0 does not.
KINDS: dict[str, dict[str, str]] = {
    "argparse": {
        "train.py": program(
            f'{ARGPARSE}parser.add_argument("--clip", type=float, default={{}})',
            BY_ARGS,
            "train(parser.parse_args())",
        )
    },
    "argparse in a helper of another module": {
        "options.py": 'def add_options(parser):\n    parser.add_argument("--clip", type=float, default={})\n',
        "train.py": program(
            f"from options import add_options\n{ARGPARSE}add_options(parser)",
            BY_ARGS,
            "train(parser.parse_args())",
        ),
    },
    "argparse in a method": {
        "train.py": program(
            """
            import argparse

            class Options:
                def __init__(self):
                    self.parser = argparse.ArgumentParser()
                    self.add()

                def add(self):
                    self.parser.add_argument("--clip", type=float, default={})

                def parse(self):
                    return self.parser.parse_args()
            """,
            BY_ARGS,
            "train(Options().parse())",
        )
    },
    "set_defaults": {
        "train.py": program(
            f'{ARGPARSE}parser.add_argument("--clip", type=float, default=5.0)\nparser.set_defaults(clip={{}})',
            BY_ARGS,
            "train(parser.parse_args())",
        )
    },
    "subparsers": {
        "train.py": program(
            f"""{ARGPARSE}commands = parser.add_subparsers()\ncommand = commands.add_parser("train")
command.add_argument("--clip", type=float, default={{}})""",
            BY_ARGS,
            "train(parser.parse_args())",
        )
    },
    "parents": {
        "train.py": program(
            """
            import argparse
            common = argparse.ArgumentParser(add_help=False)
            common.add_argument("--clip", type=float, default={})
            parser = argparse.ArgumentParser(parents=[common])
            """,
            BY_ARGS,
            "train(parser.parse_args())",
        )
    },
    "vars": {
        "train.py": program(
            f'{ARGPARSE}parser.add_argument("--clip", type=float, default={{}})',
            training('config["clip"] > 0', 'config["clip"]', parameters="config"),
            "train(vars(parser.parse_args()))",
        )
    },
    "vars into keywords": {
        "train.py": program(
            f'{ARGPARSE}parser.add_argument("--clip", type=float, default={{}})',
            BY_CLIP,
            "main(**vars(parser.parse_args()))",
        )
    },
    "configargparse": {
        "train.py": program(
            'import configargparse\nparser = configargparse.ArgParser()\nparser.add("--clip", type=float, default={})',
            BY_ARGS,
            "train(parser.parse_args())",
        )
    },
    "click": {
        "train.py": program(
            'import click\n@click.command()\n@click.option("--clip", default={}, help="gradient norm")',
            BY_CLIP,
            "main()",
        )
    },
    "typer": {
        "train.py": program(
            "import typer\napp = typer.Typer()\n@app.command()",
            training("clip > 0", "clip", name="main", parameters="clip: float = typer.Option({})"),
            "app()",
        )
    },
    "typer annotated": {
        "train.py": program(
            "import typer\nfrom typing import Annotated",
            training(
                "clip > 0", "clip", name="main", parameters="clip: Annotated[float, typer.Option()] = {}"
            ),
            "typer.run(main)",
        )
    },
    "fire": {
        "train.py": program(
            "import fire", training("clip > 0", "clip", name="main", parameters="clip={}"), "fire.Fire(main)"
        )
    },
    "a keyword that nobody gives": {
        "train.py": program("", training("clip > 0", "clip", name="main", parameters="clip={}"))
    },
    "absl": {
        "train.py": program(
            'from absl import flags\nFLAGS = flags.FLAGS\nflags.DEFINE_float("clip", {}, "gradient norm")',
            training("FLAGS.clip > 0", "FLAGS.clip"),
            "train()",
        )
    },
    "absl holder": {
        "train.py": program(
            'from absl import flags\nCLIP = flags.DEFINE_float("clip", {}, "gradient norm")',
            training("CLIP.value > 0", "CLIP.value"),
            "train()",
        )
    },
    "tf.app.flags": {
        "train.py": program(
            'import tensorflow as tf\ntf.app.flags.DEFINE_float("clip", {}, "gradient norm")\nFLAGS = tf.app.flags.FLAGS',
            training("FLAGS.clip > 0", "FLAGS.clip"),
            "train()",
        )
    },
    "dataclass field": {
        "train.py": program(
            """
            from dataclasses import dataclass, field

            @dataclass
            class Config:
                clip: float = field(default={}, metadata=dict(help="gradient norm"))
            """,
            BY_CFG,
            "train(Config())",
        )
    },
    "nested dataclass": {
        "train.py": program(
            """
            from dataclasses import dataclass, field

            @dataclass
            class Optim:
                clip: float = {}

            @dataclass
            class Config:
                optim: Optim = field(default_factory=Optim)
            """,
            training("cfg.optim.clip > 0", "cfg.optim.clip", parameters="cfg"),
            "train(Config())",
        )
    },
    "inherited dataclass": {
        "train.py": program(
            """
            from dataclasses import dataclass

            @dataclass
            class Base:
                clip: float = {}

            @dataclass
            class Config(Base):
                lr: float = 0.1
            """,
            BY_CFG,
            "train(Config(lr=0.2))",
        )
    },
    "keyword at construction": {
        "train.py": program(
            """
            from dataclasses import dataclass

            @dataclass
            class Config:
                clip: float = 5.0
            """,
            BY_CFG,
            "train(Config(clip={}))",
        )
    },
    "HfArgumentParser": {
        "train.py": program(
            """
            from dataclasses import dataclass, field
            from transformers import HfArgumentParser

            @dataclass
            class Config:
                clip: float = field(default={})
            """,
            BY_CFG,
            "cfg, = HfArgumentParser((Config,)).parse_args_into_dataclasses()\ntrain(cfg)",
        )
    },
    "tyro": {
        "train.py": program(
            """
            import tyro
            from dataclasses import dataclass

            @dataclass
            class Args:
                clip: float = {}
            """,
            BY_ARGS,
            "train(tyro.cli(Args))",
        )
    },
    "pydantic": {
        "train.py": program(
            """
            from pydantic import BaseModel, Field

            class Config(BaseModel):
                clip: float = Field({}, ge=0)
            """,
            BY_CFG,
            "train(Config())",
        )
    },
    "attrs": {
        "train.py": program(
            """
            import attr

            @attr.s
            class Config:
                clip = attr.ib(default={})
            """,
            BY_CFG,
            "train(Config())",
        )
    },
    "plain class": {
        "train.py": program(
            "class Config:\n    clip = {}\n", training("Config.clip > 0", "Config.clip"), "train()"
        )
    },
    "namespace": {
        "train.py": program(
            "from types import SimpleNamespace\nargs = SimpleNamespace(clip={}, lr=0.1)",
            BY_ARGS,
            "train(args)",
        )
    },
    "EasyDict": {
        "train.py": program(
            'from easydict import EasyDict\ncfg = EasyDict({{"train": {{"clip": {}}}}})',
            training("cfg.train.clip > 0", "cfg.train.clip", parameters="cfg"),
            "train(cfg)",
        )
    },
    "ConfigDict": {
        "train.py": program(
            """
            import ml_collections

            def get_config():
                config = ml_collections.ConfigDict()
                config.train = ml_collections.ConfigDict()
                config.train.clip = {}
                return config
            """,
            training("cfg.train.clip > 0", "cfg.train.clip", parameters="cfg"),
            "train(get_config())",
        )
    },
    "a dict": {"train.py": program('cfg = {{"train": {{"clip": {}}}}}', BY_ENTRY, "train(cfg)")},
    "a class of one's own around a dict": {
        "train.py": program(
            """
            class AttrDict(dict):
                def __init__(self, *args, **kwargs):
                    super().__init__(*args, **kwargs)
                    self.__dict__ = self

            cfg = AttrDict({{"clip": {}}})
            """,
            BY_CFG,
            "train(cfg)",
        )
    },
    "a class of one's own that takes keywords": {
        "train.py": program(
            """
            class HParams:
                def __init__(self, **kwargs):
                    for name, value in kwargs.items():
                        setattr(self, name, value)

            cfg = HParams(clip={}, lr=0.1)
            """,
            BY_CFG,
            "train(cfg)",
        )
    },
    "module constant": {"train.py": program("clip = {}", training("clip > 0", "clip"), "train()")},
    "another module's constant": {
        "config.py": "clip = {}\n",
        "train.py": program("import config", training("config.clip > 0", "config.clip"), "train()"),
    },
    "constants and a configurator": {
        "train.py": program(
            "clip = {}\nexec(open('configurator.py').read())",
            training("clip > 0", "clip"),
            "train()",
        )
    },
    "environment": {
        "train.py": program(
            'import os\nclip = float(os.environ.get("CLIP", "{}"))', training("clip > 0", "clip"), "train()"
        )
    },
    "getattr with a default": {
        "train.py": program(
            f'{ARGPARSE}parser.add_argument("--lr", type=float, default=0.1)',
            training('getattr(args, "clip", {}) > 0', parameters="args"),
            "train(parser.parse_args())",
        )
    },
    "kwargs.get": {
        "train.py": program(
            "", training('kwargs.get("clip", {}) > 0', parameters="**kwargs"), "train(lr=0.1)"
        )
    },
    "yaml": {
        "config.yaml": "model:\n  hidden: 16\ntrain:\n  lr: 0.1\n  clip: {}\n",
        "train.py": program(
            'import yaml\ncfg = yaml.safe_load(open("config.yaml"))',
            BY_ENTRY,
            "train(cfg)",
        ),
    },
    "yaml in a with, beside the file": {
        "src/conf/base.yml": "defaults: &d\n  clip: {}\ntrain:\n  <<: *d\n  lr: 1e-3\n",
        "src/train.py": program(
            """
            import os
            import yaml

            def read(path):
                with open(path) as stream:
                    return yaml.load(stream, Loader=yaml.FullLoader)
            """,
            BY_ENTRY,
            'train(read(os.path.join(os.path.dirname(os.path.abspath(__file__)), "conf", "base.yml")))',
        ),
    },
    "yaml by an option's default": {
        "configs/base.yaml": "train:\n  clip: {}\n",
        "tools/train.py": program(
            f'import yaml\n{ARGPARSE}parser.add_argument("--config", default="configs/base.yaml")',
            BY_ENTRY,
            "train(yaml.safe_load(open(parser.parse_args().config)))",
        ),
    },
    "json by a Path": {
        "conf.json": '{{\n\t"train": {{\n\t\t"clip": {},\n\t\t"eps": 1e-8\n\t}}\n}}\n',
        "train.py": program(
            "import json\nfrom pathlib import Path",
            BY_ENTRY,
            'train(json.loads((Path(__file__).parent / "conf.json").read_text()))',
        ),
    },
    "toml": {
        "conf.toml": "[model]\nhidden = 16\n\n[train]\nlr = 0.1\nclip = {}\n",
        "train.py": program(
            'import tomllib\nwith open("conf.toml", "rb") as f:\n    cfg = tomllib.load(f)',
            BY_ENTRY,
            "train(cfg)",
        ),
    },
    "OmegaConf.load and merge": {
        "conf.yaml": "train:\n  clip: {}\n",
        "train.py": program(
            """
            from omegaconf import OmegaConf
            base = OmegaConf.create({{"train": {{"clip": 7.0, "lr": 0.1}}}})
            cfg = OmegaConf.merge(base, OmegaConf.load("conf.yaml"), OmegaConf.from_cli())
            """,
            training("cfg.train.clip > 0", "cfg.train.clip", parameters="cfg"),
            "train(cfg)",
        ),
    },
    "hydra": {
        "conf/config.yaml": "defaults:\n  - optim: adam\n  - _self_\nsteps: 100\nclip: ${{optim.clip}}\n",
        "conf/optim/adam.yaml": "lr: 0.1\nclip: {}\n",
        "train.py": program(
            'import hydra\n@hydra.main(version_base=None, config_path="conf", config_name="config")',
            BY_CFG,
            "train()",
        ),
    },
    "a class filled from a file": {
        "conf.yaml": "clip: {}\n",
        "train.py": program(
            """
            import yaml
            from dataclasses import dataclass

            @dataclass
            class Config:
                clip: float = 7.0

            cfg = Config(**yaml.safe_load(open("conf.yaml")))
            """,
            BY_CFG,
            "train(cfg)",
        ),
    },
    "a class that looks its entries up": {
        "conf.json": '{{"train": {{"clip": {}}}}}\n',
        "train.py": program(
            """
            import json

            class Config:
                def __init__(self, path):
                    with open(path) as stream:
                        self._entries = json.load(stream)

                def __getitem__(self, name):
                    return self._entries[name]
            """,
            BY_ENTRY,
            'train(Config("conf.json"))',
        ),
    },
    "tap": {
        "train.py": program(
            "from tap import Tap\n\nclass Args(Tap):\n    clip: float = {}\n",
            BY_ARGS,
            "train(Args().parse_args())",
        )
    },
    "simple_parsing": {
        "train.py": program(
            """
            from dataclasses import dataclass
            from simple_parsing import ArgumentParser

            @dataclass
            class Config:
                clip: float = {}

            parser = ArgumentParser()
            parser.add_arguments(Config, dest="config")
            """,
            BY_CFG,
            "train(parser.parse_args().config)",
        )
    },
    "jsonargparse": {
        "train.py": program(
            "from jsonargparse import CLI",
            training("clip > 0", "clip", name="main", parameters="clip: float = {}"),
            "CLI(main)",
        )
    },
    "hydra with a class": {
        "train.py": program(
            """
            import hydra
            from dataclasses import dataclass
            from hydra.core.config_store import ConfigStore

            @dataclass
            class Config:
                clip: float = {}

            ConfigStore.instance().store(name="config", node=Config)

            @hydra.main(version_base=None, config_name="config")
            """,
            BY_CFG,
            "train()",
        )
    },
}


def filled(files, value):
    """The files with a default in the place of {}."""
    return {
        name: dedent(text).replace("{}", value).replace("{{", "{").replace("}}", "}")
        for name, text in files.items()
    }


kinds = pytest.mark.parametrize("files", KINDS.values(), ids=KINDS)


@kinds
def test_clipping_that_is_on_by_default_is_silent(files, tmp_path):
    _, report = scan(tmp_path, filled(files, "1.0"))
    assert [one.code for one in report.findings] == []
    assert report.sight.steps == 1
    assert report.sight.clipped == 1


@kinds
def test_clipping_that_is_off_by_default_is_found(files, tmp_path):
    root, report = scan(tmp_path, filled(files, "0.0"))
    assert [one.code for one in report.findings] == ["CLP102"]
    ((name, row),) = [
        (str(root / name), row)
        for name, text in files.items()
        for row, line in enumerate(dedent(text).splitlines(), 1)
        if "{}" in line
    ]
    assert (name, row) in {(one.filename, one.row) for one in report.findings[0].evidence}


@kinds
def test_the_fix_sets_the_default_where_it_stands_in_the_file_of_the_step(files, tmp_path):
    root, report = scan(tmp_path, filled(files, "0.0"))
    fixturelib.fix(root, fixturelib.settings(root, unsafe=True))
    here = any("{}" in text and name.endswith("train.py") for name, text in files.items())
    wanted = filled(files, "1.0" if here else "0.0")
    assert {name: (root / name).read_text(encoding="utf-8") for name in files} == wanted
    elsewhere = next(name for name, text in files.items() if "{}" in text).rpartition("/")[2]
    assert report.findings[0].message.endswith(f"; set `clip` to 1.0 in {elsewhere}") is not here


def test_a_threshold_that_no_option_names_is_called_one(tmp_path):
    train = """
        import argparse
        import torch
        from steps import Scaler

        parser = argparse.ArgumentParser()
        parser.add_argument("--clip_grad", type=float, default=None)
        args = parser.parse_args()
        model = torch.nn.LSTM(4, 8)
        optimizer = torch.optim.Adam(model.parameters())
        scaler = Scaler()
        for x in data:
            optimizer.zero_grad()
            scaler(model, optimizer, model(x)[0].sum(), CLIP)
    """
    files = {
        "steps.py": """
            import torch

            class Scaler:
                def __call__(self, model, optimizer, loss, max_norm=None):
                    loss.backward()
                    if max_norm is not None:
                        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
                    optimizer.step()
        """,
        "finetune.py": train.replace("CLIP", "args.clip_grad"),
        "probe.py": train.replace("CLIP", "None"),
    }
    _, report = scan(tmp_path, files)
    (finding,) = report.findings
    assert finding.code == "CLP102"
    assert finding.message.endswith(
        "; set `clip_grad` to 1.0 in finetune.py and the threshold to 1.0 in probe.py:14"
    )


@kinds
def test_without_unsafe_fixes_nothing_is_written(files, tmp_path):
    root, _ = scan(tmp_path, filled(files, "0.0"))
    fixturelib.fix(root, fixturelib.settings(root))
    assert {name: (root / name).read_text(encoding="utf-8") for name in files} == filled(files, "0.0")


# -- settings that nobody knows are silent ---------------------------------------------------------------

LOAD = "import sys\nimport json\nimport yaml\n"
UNKNOWN = {
    "required": (
        f'{ARGPARSE}parser.add_argument("--clip", type=float, required=True)\ncfg = vars(parser.parse_args())',
        "cfg",
    ),
    "positional": (
        f'{ARGPARSE}parser.add_argument("clip", type=float)\ncfg = vars(parser.parse_args())',
        "cfg",
    ),
    "a file named on the command line": (f"{LOAD}cfg = yaml.safe_load(open(sys.argv[1]))", "cfg"),
    "a file named by a required option": (
        (
            f'{LOAD}{ARGPARSE}parser.add_argument("--config", required=True)\n'
            "cfg = yaml.safe_load(open(parser.parse_args().config))"
        ),
        "cfg",
    ),
    "a file that does not exist": (f'{LOAD}cfg = json.load(open("missing.json"))', "cfg"),
    "a file that cannot be read": (f'{LOAD}cfg = yaml.safe_load(open("damaged.yaml"))', "cfg"),
    "a file outside the project": (f'{LOAD}cfg = yaml.safe_load(open("../outside.yaml"))', "cfg"),
    "a key that is not there": (f'{LOAD}cfg = yaml.safe_load(open("other.yaml"))', "cfg"),
    "an object of Python in YAML": (f'{LOAD}cfg = yaml.load(open("tagged.yaml"), Loader=yaml.Loader)', "cfg"),
    "a default computed by code nobody knows": (
        f'import lib\n{ARGPARSE}parser.add_argument("--clip", default=lib.pick())\ncfg = vars(parser.parse_args())',
        "cfg",
    ),
    "a dict updated with one that nobody knows": (
        f'{LOAD}cfg = {{"clip": 0.0}}\ncfg.update(json.load(open(sys.argv[1])))',
        "cfg",
    ),
    "defaults set from a file that nobody knows": (
        (
            f'{LOAD}{ARGPARSE}parser.add_argument("--clip", type=float, default=0.0)\n'
            "parser.set_defaults(**yaml.safe_load(open(sys.argv[1])))\ncfg = vars(parser.parse_args())"
        ),
        "cfg",
    ),
    "a merge with a file that nobody knows": (
        (
            'import sys\nfrom omegaconf import OmegaConf\ncfg = OmegaConf.create({"clip": 0.0})\n'
            "cfg = OmegaConf.merge(cfg, OmegaConf.load(sys.argv[1]))"
        ),
        "cfg",
    ),
    "a node configuration merged with a file that nobody knows": (
        "import sys\nfrom yacs.config import CfgNode as CN\ncfg = CN()\ncfg.clip = 0.0\ncfg.merge_from_file(sys.argv[1])",
        "cfg",
    ),
    "a class filled from a file that nobody knows": (
        (
            f"{LOAD}class Config:\n    clip = 0.0\n    def __getitem__(self, name):\n        return getattr(self, name)\n"
            "cfg = Config(**yaml.safe_load(open(sys.argv[1])))"
        ),
        "cfg",
    ),
    "attributes taken from a file that nobody knows": (
        (
            f"{LOAD}class Config:\n    clip = 0.0\n    def __getitem__(self, name):\n        return getattr(self, name)\n"
            "cfg = Config()\ncfg.__dict__.update(yaml.safe_load(open(sys.argv[1])))"
        ),
        "cfg",
    ),
    "a value that must be given": (
        'from omegaconf import OmegaConf\ncfg = OmegaConf.load("required.yaml")',
        "cfg",
    ),
    "a default for a key of settings that nobody has seen": (
        f"{LOAD}cfg = yaml.safe_load(open(sys.argv[1]))",
        "get",
    ),
}


@pytest.mark.parametrize(("head", "read"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_default_is_silent(head, read, tmp_path):
    reading = 'cfg.get("clip", 0.0)' if read == "get" else 'cfg["clip"]'
    (tmp_path / "outside.yaml").write_text("clip: 0.0\n", encoding="utf-8")
    files = {
        "damaged.yaml": "clip: [0.0\n",
        "other.yaml": "lr: 0.1\n",
        "tagged.yaml": "clip: !!python/name:train.clip\n",
        "required.yaml": "clip: ???\n",
        "train.py": program(head, training(f"{reading} > 0", parameters="cfg"), "train(cfg)"),
    }
    _, report = scan(tmp_path, files)
    assert [one.code for one in report.findings] == []
    assert report.sight.steps == 1
    assert report.failures == ()


# -- guards ----------------------------------------------------------------------------------------------

# What is asked of an option, with a default that clips and one that does not.
GUARDS = {
    "truth": ("args.clip", "1.0", "None"),
    "zero": ("args.clip", "1.0", "0"),
    "not None": ("args.clip is not None", "1.0", "None"),
    "above zero": ("args.clip > 0", "0.5", "0.0"),
    "zero below": ("0 < args.clip", "0.5", "0.0"),
    "not minus one": ("args.clip != -1", "1.0", "-1"),
    "not equal to none": ("args.clip != None", "1.0", "None"),
    "between": ("0 < args.clip < 100", "1.0", "0.0"),
    "both": ("args.clip is not None and args.clip > 0", "1.0", "0.0"),
    "with the end of accumulation": ("args.clip and step_done()", "1.0", "None"),
    "a word": ('args.clip == "norm"', '"norm"', '"none"'),
    "walrus": ("(bound := args.clip)", "1.0", "None"),
    "in a name": ("bound > 0", "1.0", "0.0"),
    "in a name, decided elsewhere": ("wanted", "1.0", "0.0"),
    "in a name, negated": ("not unwanted", "1.0", "0.0"),
    "chosen by a condition": ("chosen is not None", "1.0", "0.0"),
    "bool": ("bool(args.clip)", "1.0", "0.0"),
}
NAMES = """\
args = parser.parse_args()
bound = args.clip
wanted = args.clip is not None and args.clip > 0
unwanted = not args.clip
chosen = args.clip if args.clip else None
"""


@pytest.mark.parametrize(("guard", "on", "off"), GUARDS.values(), ids=GUARDS)
@pytest.mark.parametrize("default", ["on", "off"])
def test_a_guard_goes_by_the_default(guard, on, off, default, tmp_path):
    value = on if default == "on" else off
    head = f"from lib import step_done\n{ARGPARSE}parser.add_argument('--clip', default={value})\n{NAMES}"
    _, report = scan(tmp_path, {"train.py": program(head, training(guard), "train()")})
    assert [one.code for one in report.findings] == ([] if default == "on" else ["CLP102"])


def test_or_gives_a_threshold_by_default(tmp_path):
    head = f"{ARGPARSE}parser.add_argument('--clip', type=float)\nargs = parser.parse_args()\nclip = args.clip or 1.0"
    _, report = scan(tmp_path, {"train.py": program(head, training("clip > 0", "clip"), "train()")})
    assert [one.code for one in report.findings] == []


SWITCHES = {
    "a switch to turn it on": ("--clip", "store_true", "args.clip", ["CLP102"]),
    "a switch to turn it off": ("--no-clip", "store_true", "not args.no_clip", []),
    "a switch that stores False": ("--no-clip", "store_false", "args.no_clip", []),
}


@pytest.mark.parametrize(("flag", "action", "guard", "codes"), SWITCHES.values(), ids=SWITCHES)
def test_switches(flag, action, guard, codes, tmp_path):
    head = f"{ARGPARSE}parser.add_argument('{flag}', action='{action}')\nargs = parser.parse_args()"
    _, report = scan(tmp_path, {"train.py": program(head, training(guard), "train()")})
    assert [one.code for one in report.findings] == codes


# -- fixes of more than a number -----------------------------------------------------------------------------

FIXES = {
    "a default that goes without saying": (
        "parser.add_argument('--clip', type=float)\n",
        "parser.add_argument('--clip', default=1.0, type=float)\n",
        "args.clip",
        "args.clip",
    ),
    "a switch": (
        "parser.add_argument('--clip', action='store_true')\n",
        "parser.add_argument('--clip', default=True, action='store_true')\n",
        "args.clip",
        "",
    ),
    "a switch and its threshold": (
        "parser.add_argument('--clip', action='store_true')\nparser.add_argument('--norm', type=float, default=0.0)\n",
        (
            "parser.add_argument('--clip', default=True, action='store_true')\n"
            "parser.add_argument('--norm', type=float, default=1.0)\n"
        ),
        "args.clip",
        "args.norm",
    ),
    "a switch with a threshold of its own": (
        "parser.add_argument('--clip', type=bool, default=False)\nparser.add_argument('--norm', type=float, default=5)\n",
        "parser.add_argument('--clip', type=bool, default=True)\nparser.add_argument('--norm', type=float, default=5)\n",
        "args.clip",
        "args.norm",
    ),
    "a word": (
        "parser.add_argument('--mode', default='none')\n",
        "parser.add_argument('--mode', default=\"norm\")\n",
        "args.mode == 'norm'",
        "",
    ),
    "a negative number": (
        "parser.add_argument('--clip', default=-1, type=float)\n",
        "parser.add_argument('--clip', default=1.0, type=float)\n",
        "args.clip != -1",
        "args.clip",
    ),
}


@pytest.mark.parametrize(("before", "after", "guard", "threshold"), FIXES.values(), ids=FIXES)
def test_fixes(before, after, guard, threshold, tmp_path):
    def text(options):
        return program(
            f"{ARGPARSE}{options}args = parser.parse_args()", training(guard, threshold), "train()"
        )

    root, report = scan(tmp_path, {"train.py": text(before)})
    assert [one.code for one in report.findings] == ["CLP102"]
    fixturelib.fix(root, fixturelib.settings(root, unsafe=True))
    assert (root / "train.py").read_text(encoding="utf-8") == text(after)


# -- an option that nobody uses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(
            f"{ARGPARSE}parser.add_argument('--clip', type=float, default=1.0)\nargs = parser.parse_args()",
            id="argparse",
        ),
        pytest.param("from absl import flags\nflags.DEFINE_float('clip', 1.0, '')", id="absl"),
    ],
)
@pytest.mark.parametrize("used", [False, True])
def test_an_option_that_is_not_used_stands_in_the_evidence(head, used, tmp_path):
    body = training("True").replace(
        "        if True:\n            clip_grad_norm_(model.parameters(), 1.0)\n", ""
    )
    tail = "print(args.clip)" if used else ""
    files = {"train.py": program(head, body, f"train()\n{tail}")}
    _, report = scan(tmp_path, files)
    (finding,) = report.findings
    assert finding.code == "CLP101"
    told = any("an option for it, `clip`, is declared here" in one.message for one in finding.evidence)
    assert told is not used
