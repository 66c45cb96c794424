"""The commands that make a site and check one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import DataRoot, Results, console, use_data_root
from benchmark.errors import UsageError
from benchmark.files import check_writable

SHOWN = 20


def publish_site(
    studies: Annotated[list[str], typer.Argument(help="Studies by name, or .toml files; each gets a page.")],
    out: Annotated[Path, typer.Option(help="The site's folder; files there that publish did not make stay.")] = Path(
        "site"
    ),
    results: Results = Path("results"),
) -> None:
    """Make a static site from the studies' records, and draw their figures under --results as `plot` does.

    Example: deadweight publish digits digits_full --out site
    """
    from benchmark.experiment.names import study_path
    from benchmark.experiment.published import check_compares
    from benchmark.experiment.study import load_study

    texts = {}
    for name in studies:
        study, path = load_study(name, results), study_path(name)
        check_compares(study)
        if study.name in texts:
            raise UsageError(f"study {study.name!r} is named twice")
        texts[study.name] = path.read_text(encoding="utf-8")
    for folder in (out, *(results / name for name in texts)):
        check_writable(folder)
    if out.resolve() in {results.resolve(), *((results / name).resolve() for name in texts)}:
        raise UsageError(f"{out} holds the records themselves; choose another --out")
    from benchmark.figures.draw import draw
    from benchmark.site import manifest
    from benchmark.site.build import build, temporary
    from benchmark.site.digest import PRINTED

    manifest.read(out)
    with temporary(out) as folder, console.status("publishing") as status:
        try:
            sources = build({name: results / name for name in texts}, texts, Path(folder), status.update, console.print)
        except UsageError as error:  # it names the copy that the site is made from
            raise UsageError(str(error).replace(f"{folder}/", f"{results}/")) from None
        made = manifest.replace(Path(folder), list(texts), out)
    for source in sources:
        console.print(f"{source.digest.study.name}: {source.unmet}")
    drawn = 0
    with console.status("drawing") as status:
        for place, source in enumerate(sources, start=1):
            if len(source.frame) <= PRINTED:
                digest = source.digest
                status.update(f"drawing {digest.study.name} ({place} of {len(sources)})")
                folder = results / digest.study.name
                drawn += len(draw(digest.study, digest.records, folder, digest.scores)[2])
    console.print(f"wrote {drawn} files under {results} and {made} under {out}; `deadweight verify {out}` checks them")
    console.print(f"open {out / 'index.html'}")


def verify_site(
    site: Annotated[Path, typer.Argument(help="A folder that `deadweight publish` made.")],
    rerun: Annotated[int, typer.Option(min=0, help="Train so many of its records again, drawn at random.")] = 0,
    draw_seed: Annotated[int, typer.Option(min=0, help="The seed that --rerun draws with.")] = 0,
    data_root: DataRoot = None,
) -> None:
    """Recompute every number of a published site from its own records and say what differs. Ends with 1 if any does.

    With --rerun also which records, trained again, are the same in every number, within the tolerance between
    machines, or apart; it ends with 1 if any is apart. Own data and weights have to lie beside the site's copy of their
    study; the code of an own network, which has to lie there too, is then run.

    Example: deadweight verify site --rerun 3
    """
    use_data_root(data_root)
    from benchmark.site import manifest

    made = manifest.read(site)
    if made is None:
        raise UsageError(f"{site} has no {manifest.NAME}: it is not a site that `deadweight publish` made")

    from benchmark.site.verify import PICTURES, check_files, drawn_alike, other_versions, recompute

    with console.status("recomputing") as status:
        problems = [*check_files(site, made), *recompute(site, made, status.update)]
    for problem in problems[:SHOWN]:
        console.print(f"✗ {problem}")
    if len(problems) > SHOWN:
        console.print(f"… and {len(problems) - SHOWN} more")
    for library, (mine, theirs) in other_versions(made).items():
        console.print(f"made with {library} {theirs}, recomputed with {mine}")
    if not drawn_alike(made):
        pictures = sum(name.endswith(PICTURES) for name in made.files)
        console.print(f"so the {pictures} pictures were not compared, only the numbers in them")
    if problems:
        console.print(f"{site}: {len(problems)} differences from what its records give")
        raise typer.Exit(1)
    console.print(f"{site}: {len(made.files)} files are what their records give")
    if rerun:
        from benchmark.cli.rerun import rerun as train_again

        if not train_again(site, made.studies, rerun, draw_seed):
            raise typer.Exit(1)
