"""Draws a terminal screen, as `tmux capture-pane -e -p` prints it, as an SVG.

usage: svg.py COLUMNS ROWS < screen > screen.svg
"""

import re
import sys
from html import escape

CELL_W, CELL_H, FONT = 8.4, 17, 14
BACKGROUND, FOREGROUND = "#14171c", "#c9d1d9"
ANSI = ["#3b4048", "#e5534b", "#57ab5a", "#c69026", "#539bf5", "#b083f0", "#39c5cf", "#adbac7",
        "#636e7b", "#ff938a", "#8ddb8c", "#eac55f", "#6cb6ff", "#dcbdfb", "#56d4dd", "#f0f6fc"]


def palette(n):
    """Colour n of the 256: the 16, the 6×6×6 cube, the greys."""
    if n < 16:
        return ANSI[n]
    if n < 232:
        steps = (0, 95, 135, 175, 215, 255)
        n -= 16
        return "#%02x%02x%02x" % (steps[n // 36], steps[n // 6 % 6], steps[n % 6])
    grey = 8 + 10 * (n - 232)
    return "#%02x%02x%02x" % (grey, grey, grey)


class Style:
    def __init__(self):
        self.fg = self.bg = None
        self.bold = self.dim = self.reverse = self.underline = self.italic = False

    def apply(self, codes):
        codes = [int(c or 0) for c in codes]
        while codes:
            c = codes.pop(0)
            if c == 0:
                self.__init__()
            elif c in (1, 2, 3, 4, 7):
                setattr(self, {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse"}[c], True)
            elif c == 22:
                self.bold = self.dim = False
            elif c in (23, 24, 27):
                setattr(self, {23: "italic", 24: "underline", 27: "reverse"}[c], False)
            elif c in (38, 48):
                kind = codes.pop(0)
                colour = palette(codes.pop(0)) if kind == 5 else "#%02x%02x%02x" % tuple(codes.pop(0) for _ in "rgb")
                setattr(self, "fg" if c == 38 else "bg", colour)
            elif c in (39, 49):
                setattr(self, "fg" if c == 39 else "bg", None)
            elif 30 <= c <= 37 or 90 <= c <= 97:
                self.fg = ANSI[c - 30 if c < 90 else c - 82]
            elif 40 <= c <= 47 or 100 <= c <= 107:
                self.bg = ANSI[c - 40 if c < 100 else c - 92]

    def look(self):
        fg, bg = self.fg or FOREGROUND, self.bg
        if self.reverse:
            fg, bg = bg or BACKGROUND, fg
        extra = ' font-weight="bold"' * self.bold + ' opacity="0.6"' * self.dim
        extra += ' font-style="italic"' * self.italic + ' text-decoration="underline"' * self.underline
        return fg, bg, extra


def runs(line, style):
    """Yields (column, text, look) for each stretch of one style; the style lasts across lines."""
    column = 0
    for part in re.split(r"(\x1b\[[0-9;:]*m)", line):
        if part.startswith("\x1b["):
            style.apply(re.split("[;:]", part[2:-1]))
        elif part:
            yield column, part, style.look()
            column += len(part)


def main():
    columns, rows = int(sys.argv[1]), int(sys.argv[2])
    width, height = columns * CELL_W + 20, rows * CELL_H + 20
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
          f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="{FONT}">')
    print(f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>')
    style = Style()
    for row, line in enumerate(sys.stdin.read().split("\n")[:rows]):
        for column, text, (fg, bg, extra) in runs(line, style):
            x, y = 10 + column * CELL_W, 10 + row * CELL_H
            if bg:
                print(f'<rect x="{x:.1f}" y="{y}" width="{len(text) * CELL_W:.1f}" height="{CELL_H}" fill="{bg}"/>')
            if text.strip():
                print(f'<text x="{x:.1f}" y="{y + 13}" fill="{fg}" textLength="{len(text) * CELL_W:.1f}" '
                      f'xml:space="preserve"{extra}>{escape(text)}</text>')
    print("</svg>")


if __name__ == "__main__":
    main()
