#!/usr/bin/env python3
"""An independent oracle for `fusebox-breaker replay`.

Written from the rules' text (L1 ... L22), with exact fractions and whole histories kept in lists, as slowly and
plainly as possible. It shares no code and no data structure with the product: no window buffer, no buckets, no
snapshots. A late row is handled by running everything from the first line again.

    ladder_oracle.py < history.jsonl > expected.jsonl
"""
import bisect
import datetime
import json
import sys
from fractions import Fraction

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
THRESHOLD = {"R1": 500, "R2": 800, "R3": 1500, "R4": 1800}
BLIND = [("B1", 15_000, "blind_warn"), ("B2", 60_000, "blind_stop"), ("B3", 300_000, "blind_zero")]
ACTION = {"R1": "alert", "R2": "reduce", "R3": "scale_zero", "R4": "kill"}
ROLLING = {"day_rolling": (86_400_000, 60_000), "week_rolling": (7 * 86_400_000, 600_000),
           "month_rolling": (30 * 86_400_000, 3_600_000)}
BASES = {"R1": ("day", "day_rolling"), "R2": ("week", "week_rolling"), "R3": ("month", "month_rolling"),
         "R4": ("hwm",)}
N = 3
SPAN_MS = 2_000
GAP_MS = 15_000
LATE_MS = 900_000

FLOW_TYPES = {"TRANSFER_IN", "TRANSFER_OUT", "DEPOSIT", "WITHDRAW", "WITHDRAWAL", "AIRDROP",
              "BORROWED_AMOUNT_INS_LOAN", "PRINCIPLE_REPAYMENT_INS_LOAN"}
RESULT_TYPES = {"TRADE", "SETTLEMENT", "FEE", "LIQUIDATION", "ADL", "DELIVERY", "INTEREST", "FEE_REFUND"}


def is_flow(kind, amount):
    if kind in FLOW_TYPES or kind.startswith("BONUS"):
        return True
    if kind in RESULT_TYPES:
        return False
    return amount > 0  # unknown credit: flow; unknown debit: loss


def when(t_ms):
    return EPOCH + datetime.timedelta(milliseconds=t_ms)


def start_of(period, t_ms):
    """The first millisecond of the period that contains t_ms."""
    midnight = when(t_ms).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        midnight -= datetime.timedelta(days=midnight.isoweekday() - 1)
    if period == "month":
        midnight = midnight.replace(day=1)
    return round((midnight - EPOCH).total_seconds() * 1000)


def ceil18(value):
    """Rounded up to a multiple of 10^-18 (L2)."""
    scaled = value * 10**18
    return Fraction(-(-scaled.numerator // scaled.denominator), 10**18)


def lower_median(values):
    return sorted(values)[(len(values) - 1) // 2]


class Run:
    """The state of one pass over accepted history."""

    def __init__(self, t, equity, second):
        self.t0 = t
        self.state = "funded"
        self.units = equity
        self.run_below = 0
        self.run_above = 0
        self.frozen = Fraction(1)
        self.nav = Fraction(1)
        self.equity = equity
        if equity < 1:
            self.state = "unfunded"
        self.carry = Fraction(0)
        self.samples = [(t, self.nav, self.agrees(equity, second))]  # since the last gap
        self.last_t = t
        self.dn = Fraction(1)
        self.mids = [(t, Fraction(1))]
        self.start = {p: start_of(p, t) for p in ("day", "week", "month")}
        self.anchor = {p: Fraction(1) for p in ("day", "week", "month")}
        self.provisional = set()
        self.H = Fraction(1)
        self.latch = {}
        self.in_force_blind = set()
        self.tripped = []
        self.events = set()  # only for the fuzzer: which rules were really used

    @staticmethod
    def agrees(equity, second):
        return second is not None and abs(equity - second) <= Fraction(5, 1000) * max(abs(equity), abs(second), 1)

    def accepts(self, t, equity, second):
        return t > self.last_t and (second is None or self.agrees(equity, second))

    def timers(self, t):
        age = t - self.last_t
        begun = []
        for rung, limit, action in BLIND:
            if age >= limit and rung not in self.in_force_blind:
                self.in_force_blind.add(rung)
                begun.append(action)
        if age >= BLIND[0][1]:
            self.tripped = []
        return begun

    def window(self):
        """Shortest suffix with at least 3 samples spanning at least 2000 ms, or None."""
        for size in range(N, len(self.samples) + 1):
            suffix = self.samples[-size:]
            if suffix[-1][0] - suffix[0][0] >= SPAN_MS:
                return [nav for _, nav, _ in suffix]
        return None

    def rolling(self, basis):
        span, grain = ROLLING[basis]
        cut = (self.last_t - span) // grain * grain
        known = bisect.bisect_right(self.mids, cut, key=lambda entry: entry[0])
        return self.mids[known - 1][1] if known else Fraction(1)  # shorter history: the funding value

    def value_of(self, basis):
        if basis == "hwm":
            return self.H
        if basis in self.anchor:
            return self.anchor[basis]
        return self.cached[basis]

    def base(self, rung):
        return max(self.value_of(basis) for basis in BASES[rung])

    def sample(self, t, equity, second, rows):
        """One accepted sample; returns the actions it begins."""
        actions = self.timers(t)
        # flows and NAV
        flow = sum(rows, self.carry)
        credit = self.carry > 0 or any(row > 0 for row in rows)
        self.carry = Fraction(0)
        self.run_below = self.run_below + 1 if equity < 1 else 0
        self.run_above = self.run_above + 1 if equity >= 1 else 0
        self.equity = equity
        if self.state == "ruined":
            self.nav = Fraction(0)
        elif self.state == "unfunded":
            self.nav = self.frozen
            if equity >= 1 and (credit or self.run_above >= N):
                self.units = ceil18(equity / self.frozen)
                self.state = "funded"
                self.run_below = 0
        else:
            before = equity - flow
            if before <= 0:
                self.nav = Fraction(0)
                self.carry = flow
            else:
                self.nav = before / self.units
                if equity < 1 and (flow != 0 or self.run_below >= N):
                    self.state = "unfunded"
                    self.frozen = self.nav
                    self.run_above = 0
                elif flow != 0 and equity >= 1:
                    self.units = ceil18(self.units * equity / before)
                elif flow != 0:
                    raise AssertionError("a flow sample below 1 is unfunded")
        # window
        neighbours = t - self.last_t <= GAP_MS
        if not neighbours:
            self.samples = []
        self.samples.append((t, self.nav, self.agrees(equity, second)))
        self.last_t = t
        window = self.window()
        if window:
            self.in_force_blind -= {"B1", "B2"}
            if max(window) == 0 and self.state == "funded":
                self.state = "ruined"
            # nothing before the shortest suffix can matter to a later one
            self.samples = self.samples[-len(window):]
        # roll
        for period in self.anchor:
            boundary = start_of(period, t)
            if boundary > self.start[period]:
                self.start[period] = boundary
                mid_t, mid = self.mids[-1]
                self.anchor[period] = mid
                if boundary - mid_t > GAP_MS:
                    self.provisional.add(period)
                    self.events.add("provisional")
        if window:
            self.dn, up, mid = max(window), min(window), lower_median(window)
            for period in self.provisional:
                if mid > self.anchor[period]:
                    self.anchor[period] = mid
                    self.events.add("raised")
            self.provisional = set()
            self.mids.append((t, mid))
            self.H = max(self.H, up)
        self.cached = {basis: self.rolling(basis) for basis in ROLLING}
        # trips, R4 first
        fast = None
        if len(self.samples) >= 2 and all(agreed for _, _, agreed in self.samples[-2:]):
            fast = max(nav for _, nav, _ in self.samples[-2:])
        self.tripped = []
        for rung in ("R4", "R3", "R2", "R1"):
            anchor, theta = self.base(rung), Fraction(THRESHOLD[rung], 10_000)
            confirmed = window is not None and self.dn <= anchor * (1 - theta)
            fast_trip = fast is not None and fast * 40_000 <= anchor * (40_000 - 5 * THRESHOLD[rung])
            if confirmed or fast_trip:
                if not confirmed:
                    self.events.add("fast")
                elif self.dn == anchor * (1 - theta):
                    self.events.add("exact")
                if rung != "R4" and anchor > self.value_of(BASES[rung][0]):
                    self.events.add("rolling")
                self.tripped.insert(0, rung)
                if rung not in self.latch:
                    self.latch[rung] = t
                    actions.append(ACTION[rung])
        # releases
        if window:
            released = False
            for rung, limit in (("R1", Fraction(96, 100)), ("R2", Fraction(94, 100))):
                if rung in self.latch and rung not in self.tripped:
                    bound = self.base(rung) * limit
                    better = up >= bound if rung == "R1" else up > bound
                    period = "day" if rung == "R1" else "week"
                    later = start_of(period, t) > start_of(period, self.latch[rung])
                    if better and later:
                        del self.latch[rung]
                        released = True
            if released:
                actions.append("release")
        return actions


def truncate(value, digits):
    scaled = value * 10**digits
    whole = abs(scaled.numerator) // scaled.denominator
    return f"{whole // 10**digits}.{whole % 10**digits:0{digits}d}"


def towards_zero(value):
    return abs(value.numerator) // value.denominator * (1 if value >= 0 else -1)


class Oracle:
    """Lines in, lines out."""

    def __init__(self):
        self.run = None
        self.now = None
        self.rows = {}       # id -> (t, type, amount)
        self.flows = []      # (t, amount), every flow that counts
        self.history = []    # every line since funding: (t, equity or None, second)
        self.events = set()

    def line(self, line):
        t = line["t_ms"]
        equity = None if line.get("blind") else Fraction(line["equity"])
        second = Fraction(line["equity2"]) if line.get("equity2") is not None and equity is not None else None
        if self.run is None:
            self.funding = (t, equity, second)
            self.run = Run(t, equity, second)
            self.run.cached = {basis: Fraction(1) for basis in ROLLING}
            self.now = t
            self.arrive(line)
            return self.answer(t, [])
        self.now = max(self.now, t)
        before = set(self.run.latch)
        corrected = self.arrive(line)
        if corrected:
            self.events.add("corrected")
            self.rerun()
        self.history.append((t, equity, second))
        actions = self.feed(self.run, t, equity, second)
        if corrected:
            after = set(self.run.latch)
            actions = [a for a in actions if a.startswith("blind")]
            actions += [ACTION[r] for r in ("R4", "R3", "R2", "R1") if r in after - before]
            if before - after:
                self.events.add("withdrawn")
                actions.append("release")
        return self.answer(t, actions)

    def arrive(self, line):
        """Takes rows in; true if one of them changes the past."""
        corrected = False
        for row in line.get("flows") or []:
            content = (row["t_ms"], row["type"], Fraction(row["amount"]))
            if row["id"] in self.rows:
                continue
            self.rows[row["id"]] = content
            t, kind, amount = content
            if t <= self.funding[0] or amount == 0 or not is_flow(kind, amount):
                continue
            if t <= self.run.last_t:
                if self.now - t > LATE_MS:
                    continue
                corrected = True
            self.flows.append((t, amount))
        return corrected

    def feed(self, run, t, equity, second):
        if equity is None or not run.accepts(t, equity, second):
            return run.timers(t)
        rows = [amount for at, amount in self.flows if run.last_t < at <= t]
        return run.sample(t, equity, second, rows)

    def rerun(self):
        executed = {rung: t for rung, t in self.run.latch.items() if rung in ("R3", "R4")}
        self.run = Run(*self.funding)
        self.run.cached = {basis: Fraction(1) for basis in ROLLING}
        for line in self.history:
            self.feed(self.run, *line)
        for rung, t in executed.items():
            self.run.latch.setdefault(rung, t)

    def answer(self, t, actions):
        run = self.run
        self.events |= run.events
        dd = {}
        for basis in ("day", "week", "month", "hwm", "day_rolling", "week_rolling", "month_rolling"):
            anchor = run.value_of(basis)
            if run.dn == 0:
                dd[basis] = -10_000
            elif anchor == 0:
                dd[basis] = 2**31 - 1
            else:
                dd[basis] = min(towards_zero((run.dn / anchor - 1) * 10_000), 2**31 - 1)
        room = {}
        for rung, theta in THRESHOLD.items():
            left = Fraction(0)
            if run.nav > 0 and run.equity > 0:
                left = run.equity * (1 - run.base(rung) * (1 - Fraction(theta, 10_000)) / run.nav)
            room[rung] = truncate(max(left, Fraction(0)), 2)
        return {
            "t_ms": t,
            "nav": truncate(run.nav, 12),
            "dd_bp": dd,
            "tripped": run.tripped,
            "latched": [rung for rung in THRESHOLD if rung in run.latch],
            "actions": actions,
            "room": room,
            "blind": max(run.in_force_blind, default=None),
        }


def main():
    oracle = Oracle()
    for text in sys.stdin:
        if text.strip():
            print(json.dumps(oracle.line(json.loads(text)), separators=(",", ":")))


if __name__ == "__main__":
    main()
