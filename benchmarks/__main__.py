"""Lists the benchmarks: `make bench`, or `python benchmarks`."""

import ast
from pathlib import Path


def benchmarks() -> dict[str, str]:
    """Returns what each script of this folder that can be run measures."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        source = file.read_text(encoding="utf-8")
        if file.stem != "__main__" and 'if __name__ == "__main__":' in source:
            found[file.stem] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return found


def main() -> None:
    print("make bench BENCH=NAME ARGS=OPTIONS, where NAME is one of:\n")
    for name, purpose in benchmarks().items():
        print(f"  {name:16s} {purpose}")
    print("\nThe options of one: make bench BENCH=NAME ARGS=--help")


if __name__ == "__main__":
    main()
