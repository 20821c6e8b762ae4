"""Prefect's automations, so that a run that failed is noticed by somebody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture
from pydantic import SecretStr

from flows.state.errors import ServerError

NAME, BLOCK = "damp: a run failed", "damp-alerts"
PAYLOAD = (
    '{"text": "damp: {{ flow.name }} {{ flow_run.name }} {{ flow_run.state.name }}", '
    '"run": "{{ flow_run|ui_url }}"}'
)
"""Names of flows and runs, which hold event ids; nothing of a request, no class."""


def call_on_failure(url: str) -> str:
    """Let the server POST to `url` whenever a flow run fails or crashes; renews an older one.

    Returns:
        The automation's name.

    Raises:
        ServerError: `url` is no web address.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ServerError(f"'{url}' is no web address. Write one like http://127.0.0.1:9000/damp.")
    block: Any = Webhook(method="POST", url=SecretStr(url)).save(BLOCK, overwrite=True)
    automation = Automation(
        name=NAME,
        description="Made by `damp alert`.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[CallWebhook(block_document_id=block, payload=PAYLOAD)],
    )
    with get_client(sync_client=True) as client:
        for older in client.read_automations_by_name(NAME):
            client.delete_automation(older.id)
    automation.create()
    return NAME
