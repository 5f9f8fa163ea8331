"""The tools for agents: used by the SDK's own client, in memory, over HTTP and over standard input and output."""

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
from mcp import Client
from support.endless import endless_work
from support.http_server import serving

from specmaskgit_cli import load
from specmaskgit_cli.cli import run
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.server.agents import agent_server
from specmaskgit_cli.server.folder import Folder
from specmaskgit_cli.server.service import Service
from specmaskgit_cli.sounds.record import read_record
from specmaskgit_cli.tasks import TASKS

QUICK = {"prompt": "dog bark", "seconds": 1.0, "steps": 2, "seed": 7}


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]), "onnx", threads=1)


@pytest.fixture
def use(pipe, tmp_path):
    """Run a coroutine function with a client of a server over the folder `tmp_path / "sounds"`."""

    def used(work):
        folder = Folder(tmp_path / "sounds")

        async def connected():
            service = Service(pipe, [folder.path])
            try:
                async with Client(agent_server(service, folder)) as client:
                    return await work(client)
            finally:
                service.close()

        return asyncio.run(connected())

    return used


def kinds(result):
    return [each.type for each in result.content]


def test_every_task_is_a_tool_with_its_options(use):
    tools = {tool.name: tool for tool in use(lambda client: client.list_tools()).tools}
    assert list(tools) == [*TASKS, "list_sounds", "describe_sound"]
    for name, tool in tools.items():
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        assert tool.description and "smg" not in tool.description
        assert tool.annotations.read_only_hint is (None if name in TASKS else True)
    vary = tools["vary"].input_schema
    assert vary["required"] == ["input"] and vary["properties"]["input"]["type"] == "string"
    assert vary["properties"]["steps"]["maximum"] == 64 and "normalize" not in vary["properties"]


def test_a_sound_is_made_told_of_and_edited(use, tmp_path):
    async def work(client):
        heard = []

        async def progress(done, total, message):
            heard.append((done, total))

        made = await client.call_tool("generate", QUICK | {"name": "bark.wav"}, progress_callback=progress)
        edited = await client.call_tool("inpaint", {"input": "bark.wav", "boxes": [{"start": 0.3, "end": 0.6}]})
        listed = await client.call_tool("list_sounds", {})
        described = await client.call_tool("describe_sound", {"path": "bark.wav"})
        link = made.content[1]
        return made, edited, listed, described, heard, await client.read_resource(link.uri)

    made, edited, listed, described, heard, read = use(work)
    folder = tmp_path / "sounds"
    assert not made.is_error and kinds(made) == ["text", "resource_link", "audio", "image"]
    assert json.loads(made.content[0].text) == made.structured_content
    (sound,) = made.structured_content["sounds"]
    data = (folder / "bark.wav").read_bytes()
    assert sound["path"] == "bark.wav" and made.content[1].uri == (folder / "bark.wav").as_uri()
    assert base64.b64decode(made.content[2].data) == data == base64.b64decode(read.contents[0].blob)
    assert base64.b64decode(made.content[3].data).startswith(b"\x89PNG")
    assert sound["seconds"] == 1 and -2 < sound["peak_db"] <= -0.9 and sound["lufs"] < 0
    assert len(sound["bands"]) == 5 and len(sound["course_db"]) == 12 and sound["options"]["seed"] == 7
    assert read_record(folder / "bark.wav").options.seed == 7
    assert heard[-1] == (1, 1) and heard == sorted(heard)
    assert edited.structured_content["sounds"][0]["path"].startswith("bark-inpainted-")
    assert {each["path"] for each in listed.structured_content["sounds"]} == {each.name for each in folder.iterdir()}
    assert described.structured_content["metadata"]["options"]["prompt"] == "dog bark"
    assert kinds(described) == ["text", "resource_link", "image"]


def test_files_are_never_replaced_and_large_ones_not_sent(use, tmp_path):
    async def work(client):
        first = await client.call_tool("generate", QUICK | {"num": 2, "name": "a"})
        second = await client.call_tool("generate", QUICK | {"name": "a", "seconds": 3, "format": "flac"})
        return first, second, await client.call_tool("generate", QUICK | {"name": "a", "rate": 192000, "bits": "32f"})

    results = use(work)
    assert [each["path"] for result in results for each in result.structured_content["sounds"]] == [
        "a.wav", "a-2.wav", "a.flac", "a-3.wav",
    ]  # fmt: skip
    assert [kinds(result).count("audio") for result in results] == [2, 1, 0]
    assert len(list((tmp_path / "sounds").iterdir())) == 4


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("generate", QUICK | {"steps": 0}, "steps is 0; use a whole number from 1 to 256"),
        ("generate", QUICK | {"step": 1}, "did you mean steps?"),
        ("generate", {"prompt": ""}, "prompt is empty"),
        ("generate", QUICK | {"name": 3}, "name is 3"),
        ("vary", {}, "vary needs input"),
        ("vary", {"input": "../outside.wav"}, "outside of the folders"),
        ("vary", {"input": "link.wav"}, "outside of the folders"),
        ("vary", {"input": "/etc/passwd"}, "outside of the folders"),
        ("vary", {"input": "none.wav"}, "no such file"),
        ("vary", {"input": "text.wav"}, "text.wav: not a sound file"),
        ("vary", {"input": {"data": ""}}, "give the path of a sound"),
        ("describe_sound", {"path": "../outside.wav"}, "outside of the folders"),
        ("describe_sound", {"path": 1}, "needs a path"),
        ("describe_sound", {"file": "x"}, "no argument 'file'"),
        ("list_sounds", {"path": "x"}, "no argument 'path'"),
        ("hum", {}, "no tool 'hum'"),
    ],
)
def test_what_is_wrong_is_one_line(use, tmp_path, tool, arguments, words):
    folder = tmp_path / "sounds"
    folder.mkdir()
    soundfile.write(tmp_path / "outside.wav", np.zeros(8000), 8000)
    (folder / "link.wav").symlink_to(tmp_path / "outside.wav")
    (folder / "text.wav").write_text("no sound")
    result = use(lambda client: client.call_tool(tool, arguments))
    (text,) = result.content
    assert result.is_error and words in text.text and "\n" not in text.text


def test_a_call_that_is_cancelled_stops_its_work(use, pipe, monkeypatch):
    entered, left = endless_work(pipe, monkeypatch)

    async def work(client):
        call = asyncio.create_task(client.call_tool("generate", QUICK))
        await asyncio.to_thread(entered.wait, 30)
        call.cancel()
        assert await asyncio.to_thread(left.wait, 30)

    use(work)


def test_page_api_and_agents_share_one_service(pipe, tmp_path):
    folder = Folder(tmp_path / "sounds")
    with serving(pipe, [folder.path], agents=lambda service: agent_server(service, folder)) as http:

        async def work():
            async with Client(f"http://127.0.0.1:{http.port}/mcp") as client:
                return await client.call_tool("generate", QUICK | {"name": "bark"})

        made = asyncio.run(work())
        assert made.structured_content["sounds"][0]["path"] == "bark.wav"
        assert http("POST", "/v1/vary", {"input": "bark.wav", "steps": 2})[0] == 200
        assert http("POST", "/mcp", {}, {"Origin": "http://evil.example"})[0] == 403


def test_the_command_speaks_nothing_but_the_protocol(trained, tmp_path):
    command = [sys.executable, "-m", "specmaskgit_cli", "mcp", "--folder", str(tmp_path / "sounds"), "--threads", "1"]
    environment = os.environ | {"SMG_MODEL": str(trained[1]), "TMPDIR": str(tmp_path)}
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    messages = [
        {"id": 1, "method": "initialize", "params": client},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "generate", "arguments": QUICK}},
    ]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], env=environment, stdin=-1, stdout=-1, stderr=-1
    ) as process:
        process.stdin.write(b"".join(json.dumps({"jsonrpc": "2.0"} | each).encode() + b"\n" for each in messages))
        process.stdin.flush()
        hello, made = (json.loads(process.stdout.readline()) for _ in range(2))
        process.terminate()
        rest, said = process.communicate(timeout=30)
    assert hello["result"]["serverInfo"]["name"] == "smg" and rest == b"" and b"Traceback" not in said
    (sound,) = made["result"]["structuredContent"]["sounds"]
    assert soundfile.info(tmp_path / "sounds" / sound["path"]).duration == 1
    assert not list(tmp_path.glob("smg-server-*"))


def test_what_the_command_cannot_do_is_one_line(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    for arguments, words in (
        (["--json"], "both need standard output"),
        (["--folder", str(tmp_path / "file")], "cannot make the folder"),
        (["--folder", str(tmp_path / "a" / "b")], "cannot make the folder"),
    ):
        assert run(["mcp", *arguments]) != 0
        out, err = capsys.readouterr()
        assert words in err and out == ""
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    monkeypatch.delitem(sys.modules, "specmaskgit_cli.server.agents")
    assert run(["mcp"]) == 1
    assert "pip install '.[mcp]'" in capsys.readouterr().err


def test_names_that_are_paths_stay_in_the_folder(tmp_path):
    folder = Folder(tmp_path / "sounds")
    assert folder.store(b"x", "../../etc/passwd", "wav") == folder.path / "etc-passwd.wav"
    assert folder.store(b"x", "雷", "wav").name == "sound.wav"
    with pytest.raises(SmgError):
        folder.inside("../sounds")
    assert io.BytesIO(folder.sounds()[0].read_bytes()).read() == b"x"
