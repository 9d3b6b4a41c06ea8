"""A part of a picture as a query: dragged, pressed or by keys, of an item or of an own picture."""

import re

from playwright.sync_api import Page, expect

from tests.browser.support import give


def test_a_dragged_box_searches_by_that_part(page: Page, boat: tuple[int, str]) -> None:
    page.goto(f"/items/{boat[0]}", wait_until="networkidle")
    page.get_by_role("button", name="Search a part").click()
    pane = page.locator(".cutter")
    lies, image = pane.bounding_box(), page.locator(".viewer figure img").bounding_box()
    assert lies and image
    assert abs(lies["x"] - image["x"]) <= 1 and abs(lies["height"] - image["height"]) <= 1
    page.mouse.move(lies["x"] + 0.1 * lies["width"], lies["y"] + 0.2 * lies["height"])
    page.mouse.down()
    page.mouse.move(lies["x"] + 0.6 * lies["width"], lies["y"] + 0.8 * lies["height"], steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Search this part").click()
    page.wait_for_url(re.compile("like="))
    region = [int(number) for number in page.url.split("@")[1].split(",")]
    assert all(abs(is_ - wanted) <= 1 for is_, wanted in zip(region, (10, 20, 50, 60), strict=True))
    expect(page.locator(".tiles a[data-item]").first).to_be_visible()
    page.go_back()
    expect(page.locator(".viewer")).to_be_visible()


def test_the_box_moves_by_keys_and_by_a_press(page: Page, boat: tuple[int, str]) -> None:
    page.goto(f"/items/{boat[0]}", wait_until="networkidle")
    page.keyboard.press("r")
    pane = page.locator(".cutter")
    expect(pane).to_be_focused()
    page.keyboard.press("Escape")
    expect(pane).to_have_count(0)
    assert page.url.endswith(f"/items/{boat[0]}"), "the first Escape leaves the box alone"
    page.keyboard.press("r")
    expect(pane).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#live")).to_have_text("left 20, top 20, 55 wide, 50 high, in per cent")
    page.get_by_role("button", name="Smaller").click()
    expect(page.locator("#live")).to_have_text("left 25, top 25, 45 wide, 40 high, in per cent")
    lies = pane.bounding_box()
    assert lies
    pane.click(position={"x": 0.99 * lies["width"], "y": 0.5 * lies["height"]})
    pane.press("Enter")
    page.wait_for_url(re.compile(f"like={boat[0]}@55,30,45,40"))


def test_a_part_of_an_item_in_the_search(page: Page, boat: tuple[int, str]) -> None:
    page.goto(f"/?q=tree&like=2:{boat[0]}&like=9")
    page.wait_for_selector("html.js")
    page.locator(".weight summary").first.click()
    page.get_by_role("button", name="a part of it…").first.click()
    expect(page.locator("dialog .cutter")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"like=2:{boat[0]}@25,25,50,50"))
    assert "like=9" in page.url and "q=tree" in page.url
    expect(page.locator("#chips .part")).to_have_count(1)


def test_a_part_of_an_own_picture(page: Page, boat: tuple[int, str]) -> None:
    page.goto("/")
    give(page, "drop", boat[1])
    words = page.locator(".lines").inner_text()
    page.locator(".weight summary").click()
    page.get_by_role("button", name="a part of it…").click()
    expect(page.locator("dialog .cutter")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".lines")).not_to_have_text(words, use_inner_text=True)
    size = page.evaluate(
        """async () => {
            const image = Object.assign(new Image(), { src: history.state.pictures[0].data });
            await image.decode();
            return [image.width, image.height];
        }"""
    )
    assert size == [48, 36]
    page.go_back()
    expect(page.locator(".lines")).to_have_text(words, use_inner_text=True)
