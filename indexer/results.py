"""What a search found, as the command line says it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.types import Explanation, Hit, Results


def result_facts(results: "Results") -> dict[str, Any]:
    """As JSON values. path is absolute: the reader is on this machine."""
    from engine.confidence import band

    return {
        "hits": [_facts(hit) for hit in results.hits],
        "took_ms": results.took_ms,
        "depths": results.depths,
        "index_version": results.index_version,
        "confidence": results.confidence,
        "band": band(results.confidence),
        "mode": results.mode,
        "marks": results.marks,
        "notice": str(results.notice) if results.notice else None,
    }


def _facts(hit: "Hit") -> dict[str, Any]:
    facts: dict[str, Any] = {
        "id": hit.id,
        "score": hit.score,
        "modality": hit.modality,
        "path": str(Path(hit.root) / hit.path),
        "caption": hit.caption,
        "position": hit.position,
        "alike": hit.alike,
        "confidence": hit.confidence,
    }
    if hit.explanation is not None:
        facts["explanation"] = dataclasses.asdict(hit.explanation)
    return facts


def result_lines(results: "Results") -> Iterator[str]:
    """As lines: score, path and caption of each hit, and why it is there where that was asked for."""
    from engine.confidence import band
    from engine.words import explained, place_in, plain

    if results.notice:
        yield plain(f"Only words as they are written were looked up: {results.notice}")
    if band(results.confidence) == "unlikely":
        yield f"Probably nothing here (confidence {results.confidence:.2f}). The nearest:"
    for hit in results.hits:
        place = place_in(hit.path, hit.position, hit.modality) or ""
        place = f" @ {place}" if place[:1].isdigit() else f" {place}".rstrip()
        words = f"  {hit.caption}" if hit.caption else ""
        words += f"  (+{hit.alike:,} alike)" if hit.alike else ""
        score = "      " if hit.score is None else f"{hit.score:6.3f}"
        yield f"{score}  {plain(Path(hit.root) / hit.path)}{place}{plain(words)}"
        for line in () if hit.explanation is None else _reasons(hit.explanation, hit.confidence):
            yield f"        {plain(line)}"
    if any(hit.explanation for hit in results.hits):
        yield from explained(results)


def _reasons(found: "Explanation", confidence: float | None) -> Iterator[str]:
    for part in found.parts:
        yield f"{part.share:+.3f}  {part.term} (cosine {part.cosine:.3f}, weight {part.weight:g})"
    if found.vector_rank is not None:
        yield f"by {' and '.join(stage for stage in found.stages if stage != 'text')}: rank {found.vector_rank:,}"
    if found.text_rank is not None:
        yield f"by words of its {found.text_of}: rank {found.text_rank:,} (BM25 {found.text_score:.2f})"
    if confidence is not None:
        yield f"confidence {confidence:.2f}"
