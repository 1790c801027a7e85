"""Exports of other programs, in the shapes that these programs write."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
START = 1700000000.25
"""The time of the first message in ChatGPT's exports."""


# --- ChatGPT --------------------------------------------------------------------------------------


def node(
    id: str,
    parent: str | None,
    role: str,
    content: str | Json,
    *,
    name: str | None = None,
    recipient: str = "all",
    weight: float = 1.0,
    **metadata: Any,
) -> Json:
    """A node of ``mapping``; ``content`` is a text, or the whole object."""
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    if role == "assistant":
        metadata.setdefault("model_slug", "gpt-4o")
    return {
        "id": id,
        "message": {
            "id": id,
            "author": {"role": role, "name": name, "metadata": {}},
            "create_time": START + 10 * sum(map(ord, id)),
            "update_time": None,
            "content": content,
            "status": "finished_successfully",
            "end_turn": True if role == "assistant" else None,
            "weight": weight,
            "metadata": metadata,
            "recipient": recipient,
            "channel": None,
        },
        "parent": parent,
        "children": [],
    }


def chatgpt(*nodes: Json, current: str | None, **fields: Any) -> Json:
    """A conversation of ``conversations.json`` with an empty root above ``nodes``."""
    mapping: dict[str, Json] = {
        "root": {"id": "root", "message": None, "parent": None, "children": []}
    }
    mapping |= {each["id"]: each for each in nodes}
    for each in nodes:
        if each["parent"] in mapping:
            mapping[each["parent"]]["children"].append(each["id"])
    return {
        "title": "Primes",
        "create_time": START,
        "update_time": START + 500,
        "mapping": mapping,
        "moderation_results": [],
        "current_node": current,
        "plugin_ids": None,
        "conversation_id": "6545-aa",
        "conversation_template_id": None,
        "gizmo_id": None,
        "is_archived": False,
        "safe_urls": [],
        "default_model_slug": "gpt-4o",
        "voice": None,
        "id": "6545-aa",
        **fields,
    }


def chatgpt_2023() -> Json:
    """A question with two answers, the first of which goes on; an empty system message above."""
    return chatgpt(
        node("s", "root", "system", ""),
        node("u", "s", "user", "Name a prime."),
        node("v", "u", "assistant", "7"),
        node("w", "v", "user", "Another?"),
        node("x", "w", "assistant", "11", finish_details={"type": "interrupted"}),
        node("y", "u", "assistant", "Two."),
        current="x",
    )


def chatgpt_2025() -> Json:
    """Instructions, a picture and a file, thoughts, code that runs, a search, and hidden text."""
    picture = {
        "content_type": "image_asset_pointer",
        "asset_pointer": "sediment://file_00",
        "size_bytes": 5,
        "width": 640,
        "height": 480,
        "fovea": None,
        "metadata": {"dalle": None},
    }
    return chatgpt(
        node("a", "root", "system", "", is_visually_hidden_from_conversation=True),
        node(
            "b",
            "a",
            "user",
            {
                "content_type": "user_editable_context",
                "user_profile": "I teach.",
                "user_instructions": "Be brief.",
            },
            is_user_system_message=True,
            is_visually_hidden_from_conversation=True,
        ),
        node(
            "c",
            "b",
            "user",
            {"content_type": "multimodal_text", "parts": [picture, "What is this?"]},
            attachments=[{"id": "file-1", "name": "notes.pdf", "size": 3, "mime_type": "x"}],
        ),
        node(
            "d",
            "c",
            "assistant",
            {
                "content_type": "thoughts",
                "thoughts": [{"summary": "Looking", "content": "It is a cat."}],
                "source_analysis_msg_id": "q",
            },
            model_slug="o3",
        ),
        node(
            "e",
            "d",
            "assistant",
            {"content_type": "code", "language": "unknown", "text": "print(1)"},
            recipient="python",
        ),
        node(
            "f",
            "e",
            "tool",
            {"content_type": "execution_output", "text": "1"},
            name="python",
        ),
        node("g", "f", "assistant", "hidden words", weight=0.0),
        node("h", "g", "assistant", "A cat \ue200cite\ue202turn0search0\ue201.", model_slug="o3"),
        node(
            "i",
            "h",
            "assistant",
            {"content_type": "reasoning_recap", "content": "Thought for 8s"},
            model_slug="o3",
        ),
        current="i",
        title=None,
    )


# --- Claude ---------------------------------------------------------------------------------------

NO_PARENT = "00000000-0000-4000-8000-000000000000"


def claude(*messages: Json, **fields: Any) -> Json:
    return {
        "uuid": "c-1",
        "name": "Cats",
        "summary": "",
        "created_at": "2025-03-01T10:00:00.123456Z",
        "updated_at": "2025-03-01T10:05:00Z",
        "account": {"uuid": "me"},
        "chat_messages": list(messages),
        **fields,
    }


def said(uuid: str, sender: str, text: str, **fields: Any) -> Json:
    """A message of Claude's export."""
    return {
        "uuid": uuid,
        "text": text,
        "content": [
            {
                "start_timestamp": None,
                "stop_timestamp": None,
                "flags": None,
                "type": "text",
                "text": text,
                "citations": [],
            }
        ],
        "sender": sender,
        "created_at": f"2025-03-01T10:0{len(uuid)}:00Z",
        "updated_at": "2025-03-01T10:05:00Z",
        "attachments": [],
        "files": [],
        **fields,
    }


def claude_2024() -> Json:
    """Before there were blocks: a text, and what an attachment says."""
    attachment = {
        "file_name": "a.txt",
        "file_size": 3,
        "file_type": "txt",
        "extracted_content": "```\nmeow",
    }
    return claude(
        said("m", "human", "Read this", attachments=[attachment], content=None),
        said("mm", "assistant", "I did.", content=[]),
    )


def claude_2026() -> Json:
    """An edited question, and an answer with a thought and a tool."""
    blocks = [
        {"type": "thinking", "thinking": "Weather?", "summaries": [], "cut_off": False},
        {"type": "tool_use", "id": "t", "name": "web_search", "input": {"query": "weather"}},
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "name": "web_search",
            "content": [{"type": "text", "text": "sunny"}],
            "is_error": False,
        },
        {"type": "token_budget"},
        {"type": "text", "text": "It is sunny.", "citations": []},
    ]
    return claude(
        said("m", "human", "Rain?", parent_message_uuid=NO_PARENT),
        said("mm", "assistant", "No.", parent_message_uuid="m"),
        said(
            "n",
            "human",
            "Sun?",
            parent_message_uuid=NO_PARENT,
            files=[{"file_name": "sky.png", "file_uuid": "f"}],
        ),
        said("nnn", "assistant", "", parent_message_uuid="n", content=blocks),
        current_leaf_message_uuid="nnn",
        model="claude-sonnet",
    )


# --- Open WebUI -----------------------------------------------------------------------------------


def open_webui() -> Json:
    """A question with two answers, one of them rated, with a thought and a tool as HTML."""
    thought = (
        '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds'
        "</summary>\n&gt; Two &lt; three.\n&gt; Yes.\n</details>\n"
    )
    tool = (
        '<details type="tool_calls" done="true" id="c" name="clock" arguments="{&quot;a&quot;:1}" '
        'result="noon">\n<summary>Tool Executed</summary>\n</details>\n'
    )
    messages = {
        "q": {
            "id": "q",
            "parentId": None,
            "childrenIds": ["r", "s"],
            "role": "user",
            "content": "Time?",
            "timestamp": 1720000000,
            "models": ["llama3:latest"],
            "files": [{"type": "image", "url": "data:image/png;base64,AA=="}],
        },
        "r": {
            "id": "r",
            "parentId": "q",
            "childrenIds": [],
            "role": "assistant",
            "content": f"{thought}{tool}It is noon.",
            "model": "llama3:latest",
            "modelName": "Llama 3",
            "modelIdx": 0,
            "timestamp": 1720000001,
            "done": True,
            "annotation": {"rating": 1, "tags": []},
            "usage": {"total_tokens": 3},
        },
        "s": {
            "id": "s",
            "parentId": "q",
            "childrenIds": [],
            "role": "assistant",
            "content": "Late.",
            "model": "phi",
            "timestamp": 1720000002,
        },
    }
    return {
        "id": "w-1",
        "user_id": "me",
        "title": "Clock",
        "chat": {
            "id": "",
            "title": "Clock",
            "models": ["llama3:latest"],
            "params": {"system": "You are a clock."},
            "history": {"messages": messages, "currentId": "r"},
            "messages": [messages["q"], messages["r"]],
            "tags": [],
            "timestamp": 1720000000123,
            "files": [],
        },
        "updated_at": 1720000009,
        "created_at": 1720000000,
        "share_id": None,
        "archived": False,
        "pinned": False,
        "meta": {"tags": []},
        "folder_id": None,
    }


def open_webui_first_version() -> Json:
    """A chat alone, with a list of messages."""
    return {
        "title": "Old",
        "models": ["llama2"],
        "options": {},
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello", "model": "llama2"},
        ],
        "timestamp": 1690000000000,
    }


# --- lists of turns -------------------------------------------------------------------------------


def sharegpt() -> Json:
    return {
        "id": "identity_0",
        "system": "Be kind.",
        "conversations": [
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello"},
            {"from": "function_call", "value": '{"name": "clock"}'},
            {"from": "observation", "value": "noon"},
            {"from": "gpt", "value": "Noon."},
        ],
    }


def messages_record() -> Json:
    return {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url"}]},
            {"role": "assistant", "content": "Hello", "reasoning_content": "They greet."},
        ]
    }


def baize() -> Json:
    return {
        "topic": "How do I learn Perl?",
        "input": "The conversation between human and AI assistant.\n"
        "[|Human|] How do I learn Perl?\n"
        "[|AI|] Read perlfaq.\n"
        "[|Human|] Thanks!\n"
        "[|AI|] You are welcome.\n"
        "[|Human|] ",
    }
