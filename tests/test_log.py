"""The one logger of the package."""

import ast
import logging
from pathlib import Path

import multiDGD
from multiDGD._log import logger
from multiDGD.data import logger as public_logger

SOURCE = Path(multiDGD.__file__).parent


def test_messages_reach_the_handler_of_scvi_tools(messages, monkeypatch):
    assert public_logger is logger
    shown = []
    (handler,) = logging.getLogger("scvi").handlers[:1]
    monkeypatch.setattr(handler, "emit", lambda record: shown.append(record.getMessage()))
    logger.info("Computing")
    assert shown == ["Computing"]


def test_no_module_has_a_logger_of_its_own():
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).endswith("getLogger")
    }
    assert found == {"_log.py"}
