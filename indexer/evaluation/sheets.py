"""What was measured, as tables and sentences: the terminal and the report show the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.words import counted, readable_bytes

NAMES = {"t2i": "text to {}", "i2t": "{} to text"}
Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: its first column names the rows."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def sheets(figures: Figures) -> list[Sheet]:
    """The tables of an evaluation; those that would be empty are left out."""
    made = [
        quality_sheet(figures),
        cascade_sheet(figures),
        modality_sheet(figures),
        language_sheet(figures),
        latency_sheet(figures),
    ]
    return [sheet for sheet in made if sheet.rows]


def summary(figures: Figures) -> list[str]:
    """The outcome in plain words, a sentence each."""
    exact, bounds, seen = figures["exact"], figures["intervals"], _seen(figures)
    said = [
        f"For {exact['t2i_r10']:.1%} of {counted(figures['captions'], 'held-out caption')} the right {seen} is among "
        f"the first ten of {figures['images']:,} (95 % interval {_range(bounds['t2i_r10'], '.1%')}); by chance it "
        f"would be for {min(1.0, 10 / figures['images']):.1%}.",
        f"For {exact['i2t_r10']:.1%} of {counted(figures['images'], f'held-out {seen}')} one of the right captions is "
        f"among the first ten (95 % interval {_range(bounds['i2t_r10'], '.1%')}).",
        f"Over the whole library, the cascade finds {figures['agreement_at_10']['text_to_image']:.1%} of the exact "
        f"first ten {seen}s for words, {figures['agreement_at_10']['image_to_text']:.1%} of captions for {seen}s.",
    ]
    if figures["identity"]:
        found = figures["identity"]["gain"]
        low, high = found["interval"]
        verdict = "surely more" if low > 0 else "surely less" if high < 0 else "not surely more or less"
        said.append(
            f"Head {figures['head']} finds {verdict} than the encoder's own space: R@10, both ways averaged, differs "
            f"by {found['difference']:+.3f} (95 % interval {low:+.3f} to {high:+.3f})."
        )
    total, size = figures["latency_ms"]["total"], figures["bytes_per_item"]
    asked = "" if figures["latency_of"] == "words" else f" (asked by {figures['latency_of']}: no encoder is here)"
    said.append(f"A query takes {total['p50']:.1f} ms at the median, {total['p95']:.1f} ms at p95{asked}.")
    said.append(f"{size['index']:.0f} bytes an item in the index, {size['embedding']:.0f} in the embedding store.")
    return said


def quality_sheet(figures: Figures) -> Sheet:
    """Both ways, over full vectors with intervals, through the index, and without a head."""
    mapped = [name for name in ("map", "map50") if f"t2i_{name}" in figures["exact"]]
    columns = (
        "R@1",
        "R@5",
        "R@10",
        "median rank",
        "nDCG@10",
        *({"map": "mAP@all", "map50": "mAP@50"}[m] for m in mapped),
    )
    keys = ["r1", "r5", "r10", "median_rank", "ndcg10", *mapped]
    kinds = {"exact": figures["exact"], "cascade": figures["cascade"]}
    if figures["identity"]:
        kinds["no head"] = figures["identity"]["figures"]
    rows = []
    for way, name in NAMES.items():
        for kind, found in kinds.items():
            rows.append((f"{name.format(_seen(figures))}, {kind}", *(cell(found, f"{way}_{key}") for key in keys)))
            if kind == "exact":
                spans = (figures["intervals"][f"{way}_{key}"] for key in keys)
                forms = (".1f" if key == "median_rank" else ".3f" for key in keys)
                rows.append(("  95 % interval", *map(_range, spans, forms)))
    title = f"{figures['images']:,} held-out {_seen(figures)}s, {counted(figures['captions'], 'caption')}"
    return Sheet(f"{title} ({figures['split']}, {figures['language']})", ("", *columns), rows)


def cascade_sheet(figures: Figures) -> Sheet:
    """Quantised against exact over the whole library: what each stage keeps."""
    columns = ("", "R@10 exact", "right one handed on", "R@10 codes alone", "R@10 cascade", "exact ten found")
    keys = ("exact_r10", "handed_on", "codes_r10", "cascade_r10", "agreement")
    names = {"text_to_image": NAMES["t2i"], "image_to_text": NAMES["i2t"]}
    rows = [
        (f"{names[way].format(_seen(figures))}, {counted(facts['queries'], 'query').replace('querys', 'queries')}",
         *(f"{facts[key]:.3f}" for key in keys))
        for way, facts in figures["stages"].items()
    ]  # fmt: skip
    return Sheet(f"Over the whole library, {figures['candidates']:,} candidates handed on to refine", columns, rows)


def modality_sheet(figures: Figures) -> Sheet:
    """Counts, bytes, and recall where there are held-out captions."""
    rows = []
    for name, facts in figures["modalities"].items():
        held_out = facts.get("held_out", {})
        found = held_out.get("figures", {})
        sizes = (readable_bytes(int(facts.get(key, 0))) for key in ("index_bytes", "embedding_bytes"))
        counts = (f"{facts.get('items', 0):,}", f"{facts.get('indexed', 0):,}", *sizes)
        rows.append((name, *counts, f"{held_out['images']:,}" if held_out else "", *_both(found)))
    columns = ("items", "indexed", "index", "embeddings", "held out", "from text R@10", "to text R@10")
    return Sheet("By modality", ("", *columns), rows)


def language_sheet(figures: Figures) -> Sheet:
    """Recall by the language of the captions."""
    rows = []
    for lang, found in figures["languages"].items():
        spans = (_range(found["intervals"][f"{way}_r10"], ".3f") for way in NAMES)
        from_text, to_text = (f"{cell} ({span})" for cell, span in zip(_both(found["figures"]), spans, strict=True))
        rows.append((lang, f"{found['images']:,}", f"{found['captions']:,}", from_text, to_text))
    title = "By language of the captions, with 95 % intervals"
    return Sheet(title, ("", f"{_seen(figures)}s", "captions", "from text R@10", "to text R@10"), rows)


def latency_sheet(figures: Figures) -> Sheet:
    """Milliseconds of a query by stage."""
    rows = [(stage, f"{ms['p50']:.1f}", f"{ms['p95']:.1f}") for stage, ms in figures["latency_ms"].items()]
    return Sheet(f"Milliseconds of a query, asked by {figures['latency_of']}", ("", "p50", "p95"), rows)


def heads_sheet(found: Sequence[Figures]) -> Sheet:
    """Every trained head, by the figures of its report."""
    mapped, spoilt = (
        any(key in head[of] for head in found) for key, of in (("t2i_map", "held_out"), ("r10", "mismatched"))
    )
    columns = ["head", "method", "text", "t→i R@1", "R@5", "R@10", "i→t R@1", "R@5", "R@10", "both"]
    columns += ["t→i mAP", "i→t mAP"] * mapped + ["20 % mismatched"] * spoilt + ["numbers", "MB", "seconds"]
    rows = []
    for head in found:
        keys = [f"{way}_r{k}" for way in NAMES for k in (1, 5, 10)] + ["r10"]
        cells = [cell(head["held_out"], key) for key in keys + ["t2i_map", "i2t_map"] * mapped]
        cells += [cell(head["mismatched"], "r10")] * spoilt
        size = [f"{head['parameters']:,}", f"{head['bytes'] / 1e6:.1f}", f"{head['seconds']:.1f}"]
        rows.append((f"{head['id']}{' *' if head['served'] else ''}", head["method"], head["text"], *cells, *size))
    return Sheet("Heads, on held-out pictures", tuple(columns), rows)


def cell(figures: Mapping[str, float], key: str) -> str:
    """A figure, or nothing where it is not known."""
    if key not in figures:
        return ""
    return f"{figures[key]:.1f}" if key.endswith("rank") else f"{figures[key]:.3f}"


def _both(figures: Mapping[str, float]) -> tuple[str, str]:
    return cell(figures, "t2i_r10"), cell(figures, "i2t_r10")


def _range(bounds: Sequence[float], form: str) -> str:
    return " to ".join(format(bound, form) for bound in bounds)


def _seen(figures: Figures) -> str:
    return "film" if figures["modality"] == "video" else "picture"
