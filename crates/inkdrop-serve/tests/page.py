"""Drives the page of `inkdrop serve` in a browser, as people use it.

Usage: page.py INKDROP CHROMIUM OUT: the program, the browser, and a folder for the screenshots.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

INKDROP, CHROMIUM, OUT = sys.argv[1], sys.argv[2], Path(sys.argv[3])
TINY = "--set model.features=8 --set train.batch=4 --set data.count=64 --set train.log_every=1 --unset validation".split()
STEPS = 1000
OUT.mkdir(parents=True, exist_ok=True)


def train(folder, run, steps, *more):
    command = [INKDROP, "train", "sprites-notebook", "--out", run, "--steps", str(steps), *TINY, *more]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(process, code=0):
    assert process.wait(timeout=300) == code, process.args


def weights(run):
    """The tensors of the final model, without the metadata, which contains the config."""
    file = (run / "final.safetensors").read_bytes()
    return file[8 + int.from_bytes(file[:8], "little"):]


def unnamed(page):
    """Controls without an accessible name."""
    return page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, canvas, [role=tab]')]
        .filter((e) => !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim())
        .map((e) => e.outerHTML)"""
    )


def sampling(page):
    page.locator("#panels [name=model]").first.select_option("sprites")
    page.locator("#panels [name=steps]").first.fill("60")
    page.locator("#panels [name=hero]").first.fill("1")
    page.get_by_role("button", name="Sample", exact=True).first.click()
    page.wait_for_selector("#panels .forming img[src^=data]", timeout=30000)
    page.screenshot(path=OUT / "forming.png")
    page.wait_for_selector("#panels .pictures img", timeout=60000)
    images = page.locator("#panels .pictures img")
    assert images.count() == 8
    widths = page.wait_for_function("() => { const i = [...document.querySelectorAll('#panels .pictures img')]; return i.every((e) => e.naturalWidth === 16) }", timeout=10000)
    assert widths
    assert "--context hero=1" in page.locator("#panels pre").first.inner_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="npz").first.click()
    assert Path(download.value.path()).read_bytes()[:2] == b"PK"


def comparing_settings(page):
    page.get_by_label("Two settings side by side").check()
    page.locator("#panels [name=seed]").nth(1).fill("5")
    page.get_by_role("button", name="Sample", exact=True).nth(1).click()
    page.wait_for_function("document.querySelectorAll('#panels .pictures').length === 2", timeout=60000)
    page.get_by_label("Two settings side by side").uncheck()


def cancelling(page):
    page.locator("#panels [name=steps]").first.fill("500")
    page.locator("#panels [name=count]").first.fill("64")
    page.get_by_role("button", name="Sample", exact=True).first.click()
    page.wait_for_selector("#panels .forming img[src^=data]", timeout=30000)
    page.locator("#panels [name=cancel]").first.click()
    page.wait_for_function("document.querySelector('#panels .status').textContent === 'cancelled'", timeout=30000)
    page.locator("#panels [name=steps]").first.fill("5000")
    page.get_by_role("button", name="Sample", exact=True).first.click()
    assert not page.evaluate("document.querySelector('#panels form').checkValidity()"), "the form knows the limit"
    page.locator("#panels [name=count]").first.fill("8")
    page.locator("#panels [name=steps]").first.fill("10")


def painting(page):
    page.get_by_role("button", name="Sample", exact=True).first.click()
    page.get_by_role("button", name="Edit image 0").first.click(timeout=60000)
    mask = page.locator("#mask")
    mask.scroll_into_view_if_needed()
    box = mask.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"], steps=10)
    page.mouse.up()
    painted = page.evaluate("editor.cells.reduce((a, b) => a + b)")
    assert painted > 10, painted
    # The same by keyboard.
    mask.focus()
    for key in ["ArrowDown"] * 5 + ["ArrowRight"] * 5 + [" "]:
        page.keyboard.press(key)
    assert page.evaluate("editor.cells.reduce((a, b) => a + b)") > painted
    page.locator("#editor [name=steps]").fill("20")
    page.locator("#editor [name=count]").fill("3")
    page.locator("#editor .primary").click()
    page.wait_for_selector("#editor .output .pictures img", timeout=60000)
    assert page.locator("#editor .output .pictures img").count() == 3
    page.screenshot(path=OUT / "edit.png", full_page=True)
    page.get_by_role("button", name="Clear the mask").click()
    page.locator("#editor .primary").click()
    page.wait_for_function("document.querySelector('#message').textContent.includes('the mask is black everywhere')", timeout=30000)
    page.locator("#editor [name=task]").select_option("vary")
    page.locator("#editor .primary").click()
    page.wait_for_function("document.querySelectorAll('#editor .output .pictures img').length === 3", timeout=60000)
    page.get_by_role("tab", name="Sample").click()
    page.get_by_role("button", name="Edit image 1").first.click()
    page.locator("#editor [name=task]").select_option("interpolate")
    page.locator("#editor .primary").click()
    page.wait_for_function("document.querySelectorAll('#editor .output .pictures img').length === 6", timeout=60000)


def runs(page, folder, process):
    page.get_by_role("tab", name="Runs").click()
    page.get_by_role("checkbox", name="whole").check()
    page.wait_for_selector("#config tr.differs")
    assert "train.checkpoint_every" in page.locator("#config tr.differs").all_inner_texts().__str__()
    page.get_by_role("button", name="Sample now").click()
    page.wait_for_selector("#run-samples img", timeout=30000)
    page.get_by_role("button", name="Checkpoint now").click()
    page.get_by_role("button", name="Sample the average beside the weights").click(timeout=30000)
    page.wait_for_function("document.querySelectorAll('#panels .pictures').length === 2", timeout=60000)
    page.get_by_role("tab", name="Runs").click()
    page.screenshot(path=OUT / "runs.png", full_page=True)
    page.get_by_role("button", name="Stop and save").click()
    finish(process, 130)
    page.wait_for_function("document.querySelector('#run-tiles').textContent.includes('stopped')", timeout=30000)
    finish(train(folder, "run", STEPS, "--set", "train.checkpoint_every=1000", "--resume"))
    assert weights(folder / "whole") == weights(folder / "run")
    page.wait_for_function("document.querySelector('#run-tiles').textContent.includes('finished')", timeout=30000)


def main():
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        finish(train(folder, "whole", STEPS))
        process = train(folder, "run", STEPS, "--set", "train.checkpoint_every=1000", "--set", "train.sample_every=5000")
        while not (folder / "run/log.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.01)
        command = [INKDROP, "serve", "sprites", "run", "whole", "--port", "0", "--token", "secret"]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        address = server.stdout.readline().strip()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            # Waiting for a condition evaluates text, which the page's own policy forbids. The screenshots below keep it.
            context = browser.new_context(viewport={"width": 1200, "height": 900}, bypass_csp=True)
            page = context.new_page()
            page.set_default_timeout(15000)
            problems, foreign = [], []
            page.on("pageerror", lambda error: problems.append(str(error)))
            own = address.split("/#")[0]
            page.on("request", lambda request: request.url.startswith((own, "data:", "blob:")) or foreign.append(request.url))
            page.goto(address)
            assert "secret" not in page.url
            page.wait_for_function("document.querySelector('#connection').textContent === 'connected'")
            page.keyboard.press("Tab")
            page.get_by_role("tab", name="Sample").focus()
            page.keyboard.press("ArrowRight")
            assert page.locator("#edit").is_visible()
            page.keyboard.press("ArrowLeft")
            runs(page, folder, process)
            page.reload()
            page.wait_for_function("document.querySelector('#connection').textContent === 'connected'")
            sampling(page)
            comparing_settings(page)
            cancelling(page)
            painting(page)
            assert unnamed(page) == [], unnamed(page)
            assert problems == [] and foreign == [], (problems, foreign)
            for scheme, width, height in (("light", 1200, 900), ("dark", 1200, 900), ("light", 390, 844)):
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                page = context.new_page()
                page.goto(address)
                page.get_by_role("button", name="Sample", exact=True).click()
                page.wait_for_selector("#panels .pictures img", timeout=60000)
                for tab in ("Sample", "Edit", "Runs"):
                    page.get_by_role("tab", name=tab).click()
                    page.wait_for_timeout(500)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= width, f"{tab} is {wide} pixels wide on a screen of {width}"
                    page.screenshot(path=OUT / f"{tab.lower()}-{scheme}-{width}.png", full_page=True)
        finally:
            browser.close()
            server.terminate()
            process.kill()
        assert server.wait(timeout=30) == 0
    print(f"the page works; screenshots are in {OUT}")


main()
