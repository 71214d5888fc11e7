#!/usr/bin/env python3
"""Random histories through `fusebox-breaker replay` and through the oracle, compared line by line.

    fuzz.py REPLAY-COMMAND... [--first SEED] [--count N] [--lines N]

Each history is made from its seed alone and looks at the oracle's state to aim at exact boundaries. Prints a summary;
on a difference, the seed, the line and both answers, and exits 1.
"""
import argparse
import json
import random
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

from ladder_oracle import LATE_MS, THRESHOLD, Oracle, start_of

E8 = 10**8
TYPES = ["TRANSFER_IN", "TRANSFER_OUT", "DEPOSIT", "WITHDRAW", "BONUS", "BONUS_RECOLLECT", "AIRDROP", "TRADE",
         "SETTLEMENT", "FEE_REFUND", "INTEREST", "BORROWED_AMOUNT_INS_LOAN", "NEW_KIND"]
#: Days on which more than one period begins, a leap day, and an ordinary one.
DAYS = ["2026-06-01", "2026-11-01", "2027-01-01", "2024-02-29", "2024-03-01", "2026-11-16", "2026-11-21"]


#: A run that never came by one of these has not tested what it should.
MUST_MEET = ["alert", "reduce", "scale_zero", "kill", "release", "blind_warn", "blind_stop", "blind_zero", "funded",
             "unfunded", "ruined", "corrected", "withdrawn", "fast", "provisional", "raised", "exact", "rolling"]


def text(e8):
    sign, e8 = ("-", -e8) if e8 < 0 else ("", e8)
    whole, part = divmod(e8, E8)
    return f"{sign}{whole}.{part:08d}".rstrip("0").rstrip(".") if part else f"{sign}{whole}"


class History:
    """A random history; `theme` sets its temper."""

    def __init__(self, seed, lines):
        self.rng = random.Random(seed)
        self.oracle = Oracle()
        self.lines, self.answers, self.ids = [], [], []
        self.met = set()
        self.promised = []
        rng = self.rng
        self.theme = rng.choice(["calm", "wild", "edge", "flows", "gaps", "dust", "fast", "long", "late"])
        import datetime
        day = datetime.datetime.fromisoformat(rng.choice(DAYS) + "T00:00:00+00:00")
        self.t = int(day.timestamp() * 1000) - rng.choice([0, 1000, 2500, 20_000, 600_000, 3_600_000, 90_000_000])
        self.equity = rng.choice([4000, 4000, 700_000_000, 12_345.678, 2, 1, 0.5, 0]) if rng.random() < 0.3 else 4000
        self.equity = int(Decimal(str(self.equity)) * E8)
        self.flow_now = 0
        self.emit({"t_ms": self.t, "equity": text(self.equity), **self.second(self.equity), "flows": []})
        # Some walk slowly enough to cover what a row may be late by, and still have no gap.
        self.pace = 14_000 if self.theme in ("late", "edge") and rng.random() < 0.6 else 1000
        for _ in range(lines):
            # Units beyond this are a limit of the product: values too small to count are worth nothing.
            if self.oracle.run.units < 10**16:
                self.next()

    def emit(self, line):
        self.lines.append(line)
        self.answers.append(self.oracle.line(line))
        self.met.update(self.answers[-1]["actions"], [self.oracle.run.state], self.answers[-1]["latched"])
        self.met.update(self.oracle.events)

    def second(self, equity):
        rng = self.rng
        kind = rng.random()
        if kind < (0.2 if self.theme == "fast" else 0.5):
            return {} if rng.random() < 0.5 else {"equity2": None}
        if kind < 0.93:
            near = abs(equity) // rng.choice([1000, 300, 201, 10**6])
            return {"equity2": text(equity + rng.choice([0, near, -near]))}
        edge = max(abs(equity), E8) * 5 // 1000
        return {"equity2": text(equity + rng.choice([edge, edge + 1, -edge, -edge - 1, 2 * edge, -edge - edge // 199]))}

    def step_ms(self):
        rng = self.rng
        if self.theme == "long":
            return rng.choice([14_000, 15_000, 10_000, 3_000, 14_000, 14_999]) if rng.random() < 0.998 \
                else rng.choice([20_000, 86_400_000, 3 * 86_400_000, 20 * 86_400_000])
        # the limits around midnight: a value exactly 15 s old at the boundary, and the first sample after
        midnight = start_of("day", self.t) + 86_400_000
        for wanted in (midnight - 15_000, midnight):
            if 0 < wanted - self.t < 60_000 and rng.random() < 0.3:
                return max(1, wanted - self.t + rng.choice([0, 0, 1, -1]))
        if rng.random() < 0.8:
            return self.pace
        usual = [1, 10, 100, 250, 333, 500, 666, 667, 999, 1000, 1001, 1500, 2000, 3000, 5000]
        if self.theme == "gaps" or rng.random() < 0.05:
            usual += [14_999, 15_000, 15_001, 16_000, 59_999, 60_000, 299_999, 300_000, 301_000, 3_600_000,
                      86_400_000, 40 * 86_400_000]
        return rng.choice(usual)

    def move(self):
        """The next equity."""
        rng, run = self.rng, self.oracle.run
        kind = rng.random()
        aim = {"edge": 0.5, "fast": 0.4, "long": 0.01}.get(self.theme, 0.05)
        if kind < aim:
            rung = rng.choice(["R1", "R1", "R1", "R2", "R2", "R3", "R4"])
            theta = Fraction(THRESHOLD[rung], 10_000)
            if self.theme == "fast" and rng.random() < 0.7:
                theta = theta * 5 / 4
            if rng.random() < 0.2:
                theta -= Fraction(rng.choice([100, 200]), 10_000)
            target = run.base(rung) * (1 - theta) * run.units * E8
            return int(target) + rng.choice([0, 0, 0, 1, -1, 0, 2])
        if self.theme == "dust" and kind < 0.5:
            return rng.choice([0, 0, 1, E8 - 1, E8, E8 // 2, -50 * E8, 4000 * E8, 4000 * E8, 2 * E8])
        if kind < 0.1 and self.theme not in ("calm", "long"):
            return int(self.equity * rng.choice([0.5, 0.9, 0.95, 0.95, 1.05, 1.1, 1.3]))
        if kind < 0.15 and self.theme != "dust":
            # back towards the anchor, so that releases are tried, at their boundaries too
            rung = rng.choice(["R1", "R2"])
            near = {"R1": Fraction(96, 100), "R2": Fraction(94, 100)}[rung]
            target = run.base(rung) * rng.choice([near, near, 1]) * run.units * E8
            return int(target) + rng.choice([0, 0, 1, -1, 2])
        if kind < 0.3:
            return self.equity
        sigma = {"calm": 0.0005, "long": 0.002, "wild": 0.02}.get(self.theme, 0.005)
        return int(self.equity * (1 + rng.gauss(0, sigma)))

    def row(self):
        rng = self.rng
        if self.ids and rng.random() < 0.15:
            again = dict(rng.choice(self.ids))
            if rng.random() < 0.2:
                again["amount"] = "77"
            return again
        amount = rng.choice([rng.randrange(-2000, 4000), rng.randrange(-100, 100), 1000, -1000]) * E8
        if rng.random() < 0.2:
            amount = rng.randrange(-10**12, 10**12)
        if rng.random() < 0.04:
            amount = -self.equity
        late = 0.7 if self.theme == "late" else 0.05
        if rng.random() < late:
            at = self.t - rng.choice([0, 1, 500, 1000, 2000, 10_000, 100_000, LATE_MS, LATE_MS + 1, LATE_MS - 1])
        else:
            at = self.t + rng.choice([0, 0, 0, 0, -1, 1, 1000, 5000, 100])
        if rng.random() < 0.02:
            at = self.oracle.funding[0] + rng.choice([0, 0, 1])
        row = {"id": f"r{len(self.ids)}", "t_ms": max(at, 0), "type": rng.choice(TYPES), "amount": text(amount)}
        self.ids.append(row)
        return row

    def next(self):
        rng = self.rng
        self.t += self.step_ms()
        at = self.t
        line = {"t_ms": at}
        flows = [row for due, row in self.promised if due <= len(self.lines)]
        self.promised = [(due, row) for due, row in self.promised if due > len(self.lines)]
        late = 0.5 if self.theme == "late" else 0.05
        chance = {"flows": 0.2, "late": 0.03, "calm": 0.01, "long": 0.0005}.get(self.theme, 0.04)
        while rng.random() < chance:
            row = self.row()
            flows.append(row)
            if row["t_ms"] <= self.t and rng.random() < late:
                # the balance moves now, the row comes some lines later
                flows.pop()
                self.promised.append((len(self.lines) + rng.choice([rng.randrange(1, 12), rng.randrange(1, 66)]), {**row, "t_ms": self.t - rng.choice([0, 0, 1, 1000])}))
            # usually the balance moves with the row
            if row["t_ms"] <= self.t and rng.random() < 0.85:
                self.equity += int(Decimal(row["amount"]) * E8)
        if flows or rng.random() < 0.5:
            line["flows"] = flows
        kind = rng.random()
        if kind < 0.02 and self.theme != "long":
            line["blind"] = True
        else:
            if kind < 0.04 and self.theme != "long":
                line["t_ms"] = max(0, at - rng.choice([1000, 1, 0, 2000, 10**6]))
                self.t -= rng.choice([0, 1000]) if line["t_ms"] < at - 1000 else 0
            value = self.equity if flows and rng.random() < 0.7 else self.move()
            if abs(value) > 10**24:
                value = 4000 * E8
            if self.theme in ("dust", "calm") or abs(value) > E8 // 10 or rng.random() < 0.1:
                wick = rng.random() < 0.1
                self.equity = self.equity if wick else value
            line["equity"] = text(value)
            line.update(self.second(value))
        self.emit(line)


def compare(command, seed, lines):
    history = History(seed, lines)
    sent = "".join(json.dumps(line) + "\n" for line in history.lines)
    done = subprocess.run(command, input=sent, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"seed {seed} ({history.theme}): exit {done.returncode}: {done.stderr.strip()}")
        return None
    got = [json.loads(line) for line in done.stdout.splitlines()]
    for number, (expected, answer) in enumerate(zip(history.answers, got, strict=False), 1):
        answer.pop("incidents", None)
        if answer != expected:
            print(f"seed {seed} ({history.theme}), line {number}: {history.lines[number - 1]}")
            for key in expected:
                if answer.get(key) != expected[key]:
                    print(f"  {key}: oracle {expected[key]}, replay {answer.get(key)}")
            return None
    if len(got) != len(history.answers):
        print(f"seed {seed}: {len(got)} answers to {len(history.answers)} lines")
        return None
    return len(got), history.met


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", nargs="+")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--lines", type=int, default=150)
    arguments, rest = parser.parse_known_args()
    if rest:
        parser.error(f"unknown: {rest}")
    samples, failures, seen = 0, 0, {}
    for seed in range(arguments.first, arguments.first + arguments.count):
        result = compare(arguments.command, seed, arguments.lines)
        if result is None:
            failures += 1
            if failures == 5:
                break
            continue
        samples += result[0]
        for event in result[1]:
            seen[event] = seen.get(event, 0) + 1
    print(f"{samples} samples in {arguments.count} histories, {failures} differ")
    print("histories with:", ", ".join(f"{event} {count}" for event, count in sorted(seen.items())))
    unmet = [event for event in MUST_MEET if not seen.get(event)]
    if unmet:
        print("never met:", ", ".join(unmet))
    sys.exit(1 if failures or unmet or not samples else 0)


if __name__ == "__main__":
    main()
