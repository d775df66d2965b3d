# SPDX-License-Identifier: Apache-2.0
"""From what run.py has measured: a table for the terminal, RESULTS.md, and a plot for each group of workloads.

In every table a row is a workload and a column a contestant; a cell holds the median, and how many times the
reference's value that is: the median of the rounds' ratios, and from the smallest to the largest of them.
"""

import pathlib
import sys

from machine import DISTURBED, show


def merge(documents):
    """One document of several: what is measured in a later one takes the place of the same in an earlier one."""
    merged = dict(documents[-1])
    merged["rounds"] = min(d["rounds"] for d in documents)
    merged["quick"] = any(d["quick"] for d in documents)
    merged["started"] = min(d["started"] for d in documents)
    for key in ("samples", "disturbed"):
        merged[key] = sum(d[key] for d in documents)
    merged["groups"] = {key: value for d in documents for key, value in d["groups"].items()}
    workloads = {}
    for d in documents:
        for workload in d["workloads"]:
            workloads[workload["key"]] = workload
    merged["workloads"] = list(workloads.values())
    merged["failures"] = [failure for d in documents for failure in d["failures"]]
    return merged


def groups_of(document):
    """(key, title, text, workloads) of every group that has some."""
    keys = dict.fromkeys(w["group"] for w in document["workloads"])
    for key in keys:
        title, text = document["groups"].get(key, (key, ""))
        yield key, title, text, [w for w in document["workloads"] if w["group"] == key]


def contestants_of(workloads):
    return list(dict.fromkeys(name for w in workloads for name in w["results"]))


def spread(result):
    return f"{show(result['ratio'])} ({show(result['ratio_min'])}–{show(result['ratio_max'])})"


# --- the terminal ------------------------------------------------------------------------------------------------


def text(document):
    lines = []
    for _, title, _, workloads in groups_of(document):
        lines.append(f"\n{title}")
        for workload in workloads:
            lines.append(f"  {workload['title']}, {workload['unit']} ({workload['better']} is better)")
            for name, figures in workload["results"].items():
                if "value" not in figures:
                    continue
                value = figures["value"]
                line = f"    {name:22} {show(value['median']):>12}"
                line += f"  {spread(value):24}" if "ratio" in value and name != workload["reference"] else " " * 26
                for key, extra in workload["figures"].items():
                    if key != "value" and key in figures:
                        line += f"  {extra['title']} {show(figures[key]['median'])} {extra['unit']}".rstrip()
                lines.append(line.rstrip())
            for name, target in workload["targets"].items():
                lines.append(f"    target: {target['wanted']:g} x {name}: {'met' if target['met'] else 'NOT MET'}, "
                             f"{show(target['reached'])}")
    lines += [f"FAILED  {failure}" for failure in document["failures"]]
    lines.append(f"\n{disturbance(document)}")
    return "\n".join(lines)


def disturbance(document):
    return (f"{document['disturbed']} of {document['samples']} samples were disturbed: other processes took more than "
            f"{DISTURBED:.0%} of a CPU.")


# --- RESULTS.md --------------------------------------------------------------------------------------------------


def table(workloads, key):
    """Of one figure, or nothing when no workload has it."""
    names = [name for name in contestants_of(workloads)
             if any(key in w["results"].get(name, {}) for w in workloads)]
    if not names:
        return []
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for workload in workloads:
        if key not in workload["figures"]:
            continue
        unit = workload["figures"][key]["unit"]
        cells = [workload["title"] + (f", {unit}" if unit else "")]
        for name in names:
            result = workload["results"].get(name, {}).get(key)
            if result is None:
                cells.append("")
            elif name == workload["reference"] or "ratio" not in result:
                cells.append(f"**{show(result['median'])}**" if name == "sinew" else show(result["median"]))
            else:
                cells.append(f"{show(result['median'])}<br>{spread(result)}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def section(key, title, text, workloads, plotted):
    lines = [f"## {title}", ""]
    if text:
        lines += [text, ""]
    if key in plotted:
        lines += [f"![{title}](plots/{key}.svg)", ""]
    figures = {}
    for workload in workloads:
        for name, extra in workload["figures"].items():
            heading = extra["title"] if name != "value" else ""
            figures.setdefault(name, (heading, extra["better"]))
    for name, (heading, better) in figures.items():
        rows = table(workloads, name)
        if rows:
            lines += [f"{(heading or workloads[0]['unit']).capitalize()} ({better} is better):", "", *rows, ""]
    notes = dict.fromkeys(w["note"] for w in workloads if w["note"])
    if notes:
        lines += [*(f"- {note}" for note in notes), ""]
    return lines


def markdown(document, plotted):
    lines = ["# Results", "", "Generated by `./dev bench peers`; [README.md](README.md) says how to read it.", ""]
    lines += [f"{document['cpu']}, {document['cpus']} CPUs, Linux {document['kernel']}, {document['started'][:10]}, "
              f"{document['rounds']} rounds. {disturbance(document)}", ""]
    if document["quick"]:
        lines += ["**Short samples, for a first look: no result.**", ""]
    lines += ["A cell is the median, and below it how many times sinew's value that is: the median of the rounds' "
              "ratios, and from the smallest to the largest of them.", ""]
    targets = [(w, name, target) for w in document["workloads"] for name, target in w["targets"].items()]
    if targets:
        lines += ["| sinew against a peer | peer | wanted | reached | met |", "|---|---|---|---|---|"]
        for workload, name, target in targets:
            sign = "≥" if workload["better"] == "more" else "≤"
            lines.append(f"| {workload['title']} | {name} | {sign} {target['wanted']:g} | {show(target['reached'])} | "
                         f"{'yes' if target['met'] else '**no**'} |")
        lines.append("")
    for group in groups_of(document):
        lines += section(*group, plotted)
    absent = {}
    for workload in document["workloads"]:
        for name, why in workload["absent"].items():
            absent.setdefault((name, why), []).append(workload["key"])
    if absent or document["failures"]:
        lines += ["## What could not be had", ""]
        lines += [f"- {name} ({', '.join(keys)}): {why}" for (name, why), keys in absent.items()]
        lines += [f"- {failure}" for failure in document["failures"]]
        lines.append("")
    return "\n".join(lines)


# --- plots -------------------------------------------------------------------------------------------------------

COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22",
           "#000000")


def goodness(workload, result):
    """(median, min, max) of how many times as good as the reference; right of 1 is better."""
    if result is None or not result.get("ratio") or not result.get("ratio_min"):
        return None
    values = [result["ratio"], result["ratio_min"], result["ratio_max"]]
    if workload["better"] == "less":
        values = [1 / values[0], 1 / values[2], 1 / values[1]]
    return values


def plot(pyplot, path, title, workloads, colours):
    names = [n for n in contestants_of(workloads)
             if any(goodness(w, w["results"].get(n, {}).get("value")) for w in workloads)]
    if not names:
        return False
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.55 * len(workloads)))
    for place, name in enumerate(names):
        points = []
        for row, workload in enumerate(workloads):
            found = goodness(workload, workload["results"].get(name, {}).get("value"))
            if found:
                points.append((row + 0.7 * ((place + 0.5) / len(names) - 0.5), *found))
        y, x, low, high = zip(*points)
        axes.errorbar(x, y, xerr=([a - b for a, b in zip(x, low)], [a - b for a, b in zip(high, x)]), fmt="o",
                      markersize=4.5, linewidth=1, color=colours[name], label=name)
    axes.axvline(1, color=colours.get("sinew", "black"), linewidth=0.8)
    axes.set_xscale("log")
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.4, 2, 3, 5, 10, 20, 50, 100)
             if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(workloads)), [w["title"] for w in workloads], fontsize=8)
    axes.set_ylim(len(workloads) - 0.4, -0.6)
    axes.grid(axis="x", linewidth=0.3)
    axes.set_xlabel("times as good as sinew (right is better); bars: from the worst to the best round")
    axes.set_title(title)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return True


def plots(document, directory):
    """Writes them and returns the keys of the groups that have one; where everything is 0 there is nothing to plot."""
    try:
        import matplotlib
    except ImportError:
        print("without plots: matplotlib is missing", file=sys.stderr)
        return set()
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "sinew"  # the same numbers make the same file
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.svg"):
        old.unlink()
    colours = dict(zip(contestants_of(document["workloads"]), COLOURS * 4))
    return {key for key, title, _, workloads in groups_of(document)
            if plot(pyplot, directory / f"{key}.svg", title, workloads, colours)}


def write(document, directory):
    """Writes RESULTS.md and plots/ into the directory; returns the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    plotted = plots(document, directory / "plots")
    path = pathlib.Path(directory) / "RESULTS.md"
    path.write_text(markdown(document, plotted), encoding="utf-8")
    return path
