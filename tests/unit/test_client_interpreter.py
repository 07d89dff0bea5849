"""Which Python runs the helper: the program's own, in every layout that a program has it in, or one that was named."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from silo_client import HelperError
from silo_client.common.protocol import Plan
from silo_client.link import helper_process, interpreter
from silo_client.link.helper_process import HelperProcess
from silo_client.link.interpreter import Interpreter, find_python

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
TOKEN = "secret-token"

# Where the program, its Python's prefix, and its interpreter are: the folder of the bundle is the first part.
LAYOUTS = {
    "POSIX, in a prefix": ("bin/cad", "", f"bin/python{VERSION}"),
    "FreeCAD's AppImage": ("usr/bin/freecad", "usr", "usr/bin/python"),
    "Debian's FreeCAD": ("usr/bin/freecad", "usr", f"usr/bin/python{VERSION}"),
    "Fedora's FreeCAD": ("usr/lib64/freecad/bin/FreeCAD", "usr", "usr/bin/python3"),
    "FreeCAD's Flatpak": ("app/freecad/bin/FreeCAD", "usr", f"usr/bin/python{VERSION}"),
    "a snap with an interpreter": ("snap/1/usr/bin/FreeCAD", "snap/1/usr", "snap/1/usr/bin/python3"),
    "conda on POSIX": ("bin/FreeCAD", "", "bin/python3"),
    "Blender on POSIX": ("blender", "4.2/python", f"4.2/python/bin/python{VERSION}"),
    "Blender on Windows": ("blender.exe", "4.2/python", "4.2/python/bin/python.exe"),
    "FreeCAD on Windows": ("bin/FreeCAD.exe", "bin", "bin/python.exe"),
    "conda on Windows": ("Library/bin/FreeCAD.exe", "", "python.exe"),
    "a virtual environment on Windows": ("cad.exe", "env", "env/Scripts/python.exe"),
    "a folder of the program's": ("cad.exe", "lib", "python/python.exe"),
    "a library elsewhere": ("cad", "lib", "bin/python3"),
    "FreeCAD on macOS": ("Contents/MacOS/FreeCAD", "Contents/Resources", "Contents/Resources/bin/python"),
    "an application with the library elsewhere": ("Contents/MacOS/cad", "lib", "Contents/Resources/bin/python3"),
    "beside the program on macOS": ("Contents/MacOS/cad", "lib", "Contents/MacOS/python"),
    "a framework": (
        "Contents/MacOS/cad",
        f"Contents/Frameworks/Python.framework/Versions/{VERSION}",
        f"Contents/Frameworks/Python.framework/Versions/{VERSION}/bin/python3",
    ),
    "a framework's own application": (
        "Contents/MacOS/cad",
        f"Python.framework/Versions/{VERSION}",
        f"Python.framework/Versions/{VERSION}/Resources/Python.app/Contents/MacOS/Python",
    ),
    "a framework in a bundle whose library is elsewhere": (
        "Contents/MacOS/cad",
        "lib",
        f"Contents/Frameworks/Python.framework/Versions/{VERSION}/bin/python{VERSION}",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def system(monkeypatch, tmp_path):
    """The folder of the system's programs; and nobody names an interpreter."""
    monkeypatch.delenv(interpreter.PYTHON_VARIABLE, raising=False)
    folder = tmp_path / "system" / "bin"
    monkeypatch.setattr(interpreter, "SYSTEM_FOLDER", folder)
    return folder


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """Be in a program that embeds Python; its own interpreter, which is this one, is the third of its layout."""
    home = tmp_path / "bundle"

    def embed(program="cad", prefix="lib", python=None):
        for name in ("executable", "_base_executable"):
            monkeypatch.setattr(sys, name, program and str(home / program), raising=False)
        for name in ("prefix", "exec_prefix"):
            monkeypatch.setattr(sys, name, str(home / prefix))
        if program:
            make_program(home / program, "touch started")
        if python is not None:
            make_python(home / python)
        return home

    # Else what is found is the Python of this test's process.
    real = interpreter._places_of_python
    system = Path("/proc/self/exe").resolve().parent
    installed = Path(sys.base_prefix)

    def places():
        return (p for p in real() if system not in p.parents and installed not in p.parents)

    monkeypatch.setattr(interpreter, "_places_of_python", places)
    return embed


def make_program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def make_python(path, real=sys.executable):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.realpath(real))
    return path


def make_trap(path, answer=""):
    """A program that poses as a Python, and notes what it is given."""
    notes = path.with_name(f"{path.name}.notes")
    return make_program(path, f"{{ env; echo \"$@\"; cat; }} >>{notes}\necho '{answer}'"), notes


def test_it_is_this_one_where_this_is_python():
    found = find_python()
    assert (found.path, found.named) == (sys.executable, False)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_it_is_found_in_every_layout(embedded, layout):
    home = embedded(*layout)
    assert find_python().path == str(home / layout[2])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_other_interpreter_in_the_layout_is_not_taken(embedded, layout):
    home = embedded(*layout[:2])
    _, notes = make_trap(home / layout[2], '["cpython", 1, 2, "/usr"]')
    with pytest.raises(HelperError, match=f"{layout[2]}.*python=.*SILO_PYTHON"):
        find_python()
    assert TOKEN not in notes.read_text()


@pytest.mark.skipif(not shutil.which("python3", path="/usr/bin"), reason="needs another Python")
def test_another_python_that_works_is_not_this_one(embedded):
    home = embedded()
    make_python(home / "bin/python3", "/usr/bin/python3")
    with pytest.raises(HelperError, match="not the Python of this program"):
        find_python()


def test_the_systems_own_is_the_last_and_may_be_another_correction(embedded, system):
    """As in FreeCAD's snap, whose Python has its library in the snap and its interpreter in the system."""
    home = embedded("usr/bin/FreeCAD", "usr")
    answer = [sys.implementation.name, sys.hexversion ^ 0x100, sys.maxsize, "/usr"]
    trap, _ = make_trap(system / f"python{VERSION}", json.dumps(answer))
    found = find_python()
    assert (found.path, found.named) == (str(trap), False)
    own = make_python(home / "usr/bin/python3")
    assert find_python().path == str(own)


@pytest.mark.parametrize(
    "other", [{0: "pypy"}, {1: sys.hexversion ^ 0x10000}, {2: 2**31 - 1}, {1: "3"}, {3: None}]
)
def test_the_systems_own_is_not_taken_where_it_is_of_another_version(embedded, system, other):
    embedded()
    answer = [sys.implementation.name, sys.hexversion, sys.maxsize, "/usr"]
    for place, value in other.items():
        answer[place] = value
    make_trap(system / "python3", json.dumps(answer))
    with pytest.raises(HelperError, match="SILO_PYTHON"):
        find_python()


def test_the_next_one_is_asked_where_the_first_is_another(embedded):
    home = embedded()
    make_trap(home / "lib/bin/python3")
    python = make_python(home / "lib/bin/python")
    assert find_python().path == str(python)


@pytest.mark.parametrize("program", ["cad", "PythonWorkbench", ""])
@pytest.mark.parametrize("name", ["python", "python3", f"python{VERSION}"])
def test_neither_the_path_nor_the_current_folder_is_looked_at(
    embedded, tmp_path, monkeypatch, program, name
):
    embedded(program)
    notes = []
    for folder in ("on/path", "here", "here/bin"):
        notes.append(make_trap(tmp_path / folder / name)[1])
    monkeypatch.setenv("PATH", f"{tmp_path}/on/path:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(HelperError, match="SILO_PYTHON"):
        find_python()
    assert not any(note.exists() for note in notes)
    assert not list(tmp_path.rglob("started")), "the program itself was started again"


def test_python_from_the_path_is_asked_first(embedded, tmp_path, monkeypatch):
    """Python, embedded without a name, calls the first python3 of the PATH its executable."""
    embedded()
    trap, notes = make_trap(tmp_path / "python3")
    monkeypatch.setattr(sys, "executable", str(trap))
    monkeypatch.setenv("SILO_TOKEN", TOKEN)
    with pytest.raises(HelperError):
        find_python()
    assert "-I -S -c" in notes.read_text()
    assert TOKEN not in notes.read_text()


@pytest.mark.parametrize("prefix", ["", ".", "bin"])
def test_a_prefix_that_is_no_whole_path_is_none(embedded, tmp_path, monkeypatch, prefix):
    embedded("")
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.chdir(tmp_path)
    assert all(place.is_absolute() for place in interpreter.candidates())
    with pytest.raises(HelperError):
        find_python()


@pytest.mark.parametrize("prepare", [lambda path: path.chmod(0o644), lambda path: path.unlink()])
def test_file_that_cannot_be_executed_is_skipped(embedded, prepare):
    home = embedded()
    prepare(make_program(home / "lib/bin/python3", ""))
    (home / "lib/bin/python").mkdir()
    with pytest.raises(HelperError):
        find_python()


def test_interpreter_that_does_not_answer_is_skipped(embedded, monkeypatch):
    monkeypatch.setattr(interpreter, "ANSWER_SECONDS", 0.1)
    make_program(embedded() / "lib/bin/python3", "exec sleep 60")
    with pytest.raises(HelperError):
        find_python()


def test_named_python_wins_argument_before_environment(embedded, monkeypatch):
    embedded("cad", "lib", "lib/bin/python3")
    monkeypatch.setenv(interpreter.PYTHON_VARIABLE, "/opt/python")
    assert find_python().path == "/opt/python"
    found = find_python("/opt/other")
    assert (found.path, found.named) == ("/opt/other", True)


@pytest.mark.parametrize("name", ["python3", "bin/python3", "./python"])
def test_a_name_that_the_path_or_the_current_folder_would_explain_is_refused(monkeypatch, name):
    with pytest.raises(HelperError, match=r"python= names .* the absolute path"):
        find_python(name)
    monkeypatch.setenv(interpreter.PYTHON_VARIABLE, name)
    with pytest.raises(HelperError, match=r"SILO_PYTHON names .* the absolute path"):
        find_python()


def started(tmp_path, monkeypatch, find, script):
    """What a helper says that is started so, in the surroundings of a program with much that is not for it."""
    monkeypatch.setattr(helper_process, "CODE", script)
    for name in ("here", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "json.py").write_text("raise SystemExit('a stranger')")
        (tmp_path / name / "sitecustomize.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path / "here")
    for name, value in {
        "PYTHONPATH": str(tmp_path / "other"),
        "PYTHONSTARTUP": str(tmp_path / "other" / "json.py"),
        "PYTHONHOME": "/nowhere",
        "PYTHONINSPECT": "1",
        "PYTHONWARNINGS": "error",
        "SILO_TOKEN": "of the environment",
        "SSL_CERT_FILE": "ca.pem",
        "HTTPS_PROXY": "http://proxy.example",
    }.items():
        monkeypatch.setenv(name, value)
    plan = Plan("http://127.0.0.1:1", TOKEN, "w", "/nowhere", "/nowhere")
    process = HelperProcess(find(), plan, subprocess.DEVNULL)
    try:
        return [line.decode() for line in process.lines()]
    finally:
        process.close_pipes()
        process.wait(10)


@pytest.mark.parametrize("named", [None, sys.executable], ids=["found", "named"])
def test_the_helper_has_nothing_of_the_programs_but_what_it_needs(tmp_path, monkeypatch, named):
    # The tests' own interpreter is asked before the surroundings are odd.
    found = find_python(named)
    script = (
        "import sys; sys.path += sys.argv[1:]; import json, os, httpx, silo_client.helper.main;"
        "plan = sys.stdin.readline();"
        "print(json.dumps([os.getcwd(), dict(os.environ), sys.argv, json.loads(plan)['token'],"
        " [os.path.realpath(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')]]))"
    )
    with (tmp_path / "open by the program").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        [line] = started(tmp_path, monkeypatch, lambda: found, script)
    folder, environment, arguments, token, files = json.loads(line)
    assert folder == "/"
    assert token == TOKEN
    assert TOKEN not in f"{environment}{arguments}"
    assert "SILO_TOKEN" not in environment
    assert environment["SSL_CERT_FILE"] == str(tmp_path / "here/ca.pem")
    assert environment["HTTPS_PROXY"] == "http://proxy.example"
    assert not [name for name in files if "open by the program" in name]


OLD = sorted(Path.home().glob(".pyenv/versions/[23].[678].*/bin/python"))


@pytest.mark.skipif(not OLD, reason="needs a Python of before 3.9")
@pytest.mark.parametrize("python", OLD, ids=lambda python: python.parts[-3])
def test_named_python_that_is_too_old_says_so(python):
    done = subprocess.run(
        Interpreter(str(python), named=True).command(helper_process.CODE),
        capture_output=True,
        text=True,
    )
    version = ".".join(python.parts[-3].split(".")[:2])
    assert done.stderr.strip().splitlines()[-1] == (
        f"Python 3.9 or newer is needed, and {python} is Python {version}"
    )


def test_named_python_without_what_the_client_needs_says_so(tmp_path):
    (tmp_path / "silo_client").mkdir()
    (tmp_path / "silo_client" / "__init__.py").write_text("import unheard_of")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", helper_process.CODE, str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"{sys.executable} cannot import the client: ModuleNotFoundError: No module named 'unheard_of'\n"
    )


def test_found_python_has_only_the_programs_packages(tmp_path, monkeypatch):
    script = "import sys; print('\\n'.join(p for p in sys.path if 'packages' in p))"
    assert started(tmp_path, monkeypatch, find_python, script) == [""]
    assert any("packages" in place for place in interpreter.places())


def test_this_python_is_asked_also_where_its_own_variables_are_odd(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    assert find_python().path == sys.executable
