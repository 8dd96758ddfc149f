"""The server of the page. The only file that imports gradio."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ke2nt.app.backend import AppBackend
from ke2nt.app.face_tab import build_face_tab
from ke2nt.app.fragments import STYLE, render_header
from ke2nt.app.sets_tab import build_sets_tab
from ke2nt.errors import ConfigError
from ke2nt.runtime.optional import import_optional

__all__ = ["MAX_UPLOAD", "serve"]

MAX_UPLOAD = 20 * 1024 * 1024
"""Maximum size of an uploaded image in bytes."""

_FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
_MONO_FONT = ["ui-monospace", "Menlo", "Consolas", "monospace"]
_MAX_WAITING = 32  # events in the queue
_DELETE_CACHE = (60, 600)  # check every minute, delete uploads after ten minutes


def serve(
    backend: AppBackend,
    *,
    folder: Path,
    host: str,
    port: int | None,
    browser: bool,
    ready: Callable[[str], None],
) -> None:
    """Serve the page until the process is interrupted or terminated.

    Args:
        backend: The logic behind the page.
        folder: Where uploads are kept while they are in use; the caller deletes it.
        host: Address to listen on.
        port: Port to listen on; by default the first free one from 7860.
        browser: Whether to open a browser.
        ready: Called with the URL once the page can be opened.

    Raises:
        MissingExtraError: gradio is not installed.
        ConfigError: The address or port cannot be used.
    """
    # gradio reads these when it is imported: no telemetry, nothing kept outside the folder
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_RUN_HISTORY": "False",
        "GRADIO_TEMP_DIR": str(folder),
    }
    gradio: Any = import_optional("gradio", extra="app", purpose="the app in the browser")
    page = _build_page(gradio, backend)

    # SIGTERM ends the server like Ctrl-C, so that the caller deletes the folder
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    url = _launch(gradio, page, host, port, browser)
    try:
        ready(url)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        page.close(verbose=False)


def _build_page(gradio: Any, backend: AppBackend) -> Any:
    title = f"{backend.name} · ke2nt app"
    with gradio.Blocks(title=title, delete_cache=_DELETE_CACHE, analytics_enabled=False) as page:
        gradio.HTML(render_header(backend.name))
        with gradio.Tab("A face"):
            words, templates = build_face_tab(gradio, backend)
        with gradio.Tab("Prompt sets on a dataset"):
            build_sets_tab(gradio, backend, words, templates)

    page.queue(api_open=False, max_size=_MAX_WAITING)
    return page


def _launch(gradio: Any, page: Any, host: str, port: int | None, browser: bool) -> str:
    """Start the server in the background and return its URL."""
    theme = gradio.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        radius_size="lg",
        font=_FONT,
        font_mono=_MONO_FONT,
    )

    # local only: no tunnel, no server-side rendering by another process, no monitoring
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            max_file_size=MAX_UPLOAD,
            footer_links=[],
            enable_monitoring=False,
            theme=theme,
            css_paths=STYLE,
        )
    except OSError as error:
        address = f"{host}, port {port}" if port else host
        raise ConfigError(
            f"the app cannot listen on {address}",
            expected="an address of this machine and a free port",
            hint="Choose others with --host and --port.",
        ) from error
    return url
