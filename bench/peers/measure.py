# SPDX-License-Identifier: Apache-2.0
"""Workloads, and the rounds in which sinew and its peers are measured.

A Workload has contestants, and measures each once a round, one right after the other, beginning with another one in
every round: a machine that slows down slows down all of them, and nobody is always first. What counts is the median of
the rounds' ratios to the workload's reference; the smallest and the largest of them say how much of it to believe.

A contestant is a function of the machine that returns a number, or a dict of numbers of which "value" is what the
workload is about and the others are shown if `extras` names them. Where a peer cannot be had it is a string that says
why: it is left out of the rounds and stands in the report.
"""

import dataclasses
import pathlib
import statistics
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))

from machine import Failure  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Extra:
    """A second figure of the same samples."""

    title: str
    unit: str
    better: str = "less"


@dataclasses.dataclass
class Workload:
    key: str  # unique, with dots, as --only matches it
    title: str
    unit: str
    better: str  # "less" or "more"
    contestants: dict  # name -> function of the machine, or why there is none
    reference: str = "sinew"  # whom the ratios are to
    group: str = ""  # workloads of a group share a section, a table of ratios and a plot
    target: dict | None = None  # contestant -> what sinew / contestant is to be: at least, or at most if less is better
    extras: dict = dataclasses.field(default_factory=dict)  # name in the samples' dict -> Extra
    note: str = ""  # a sentence on what the workload does, or on what is not alike

    def figures(self):
        """Name -> Extra of everything that is shown, the workload's own figure first."""
        return {"value": Extra(self.title, self.unit, self.better), **self.extras}


def peer(program, run):
    """run, or the sentence to be shown instead when the program was not built."""
    program = pathlib.Path(program)
    return run if program.exists() else f"{program.name} was not built; build/peers/build.log says why"


def measure(workloads, machine, rounds, progress=lambda text: None):
    """(samples, failures): samples[key][contestant] is a list with a dict or None for each round.

    A contestant that fails is left out from then on, with its sentence in failures.
    """
    samples = {w.key: {name: [] for name, run in w.contestants.items() if callable(run)} for w in workloads}
    failures = []
    for index in range(rounds):
        for workload in workloads:
            names = list(samples[workload.key])
            begin = index % max(1, len(names))
            for name in names[begin:] + names[:begin]:
                taken = samples[workload.key][name]
                if len(taken) < index:  # it has failed before
                    continue
                progress(f"round {index + 1}/{rounds}  {workload.key}  {name}")
                try:
                    result, foreign = machine.measure(lambda run=workload.contestants[name]: run(machine))
                except (Failure, OSError, ValueError, KeyError) as failure:
                    failures.append(f"{workload.key}, {name}: {failure}")
                    continue
                result = dict(result) if isinstance(result, dict) else {"value": float(result)}
                result["foreign_cpu"] = round(foreign, 3)
                taken.append(result)
    return samples, failures


def figure(samples, reference, name):
    """Of one figure of one contestant: median, smallest and largest, and the same of the ratio to the reference."""
    values = [sample[name] for sample in samples if sample.get(name) is not None]
    if not values:
        return None
    result = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    ratios = [a[name] / b[name] for a, b in zip(samples, reference) if a.get(name) is not None and b.get(name)]
    if ratios:
        result.update(ratio=statistics.median(ratios), ratio_min=min(ratios), ratio_max=max(ratios))
    return result


def summarise(workload, samples):
    """The workload as it goes into the JSON file and from there into tables and plots."""
    reference = samples.get(workload.reference, [])
    figures = workload.figures()
    results = {
        name: {key: found for key in figures if (found := figure(taken, reference, key)) is not None}
        for name, taken in samples.items()
    }
    targets = {}
    for name, wanted in (workload.target or {}).items():
        ratio = figure(samples.get("sinew", []), samples.get(name, []), "value")
        if ratio and "ratio" in ratio:
            met = ratio["ratio"] >= wanted if workload.better == "more" else ratio["ratio"] <= wanted
            targets[name] = {"wanted": wanted, "reached": ratio["ratio"], "met": met}
    return {
        "key": workload.key,
        "title": workload.title,
        "unit": workload.unit,
        "better": workload.better,
        "group": workload.group,
        "note": workload.note,
        "reference": workload.reference,
        "figures": {key: dataclasses.asdict(extra) for key, extra in figures.items()},
        "absent": {name: why for name, why in workload.contestants.items() if not callable(why)},
        "results": results,
        "targets": targets,
        "samples": samples,
    }
