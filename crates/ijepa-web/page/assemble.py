"""Puts module, bindings, style and a model into one page that needs nothing else.

    python3 assemble.py BINDINGS.js MODULE.wasm OUT.html [MODEL_FOLDER [EXAMPLE]]
"""

import base64
import mimetypes
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
FILES = ["state.json", "encoder.safetensors", "target_encoder.safetensors", "predictor.safetensors"]


def inlined(name, path):
    return f'<script type="text/plain" id="{name}">{base64.b64encode(path.read_bytes()).decode()}</script>'


def main():
    bindings, module, out, *rest = map(pathlib.Path, sys.argv[1:])
    data = [inlined("wasm", module)]
    if rest:
        data += [inlined(name, rest[0] / name) for name in FILES]
    if rest[1:]:
        kind, _ = mimetypes.guess_type(rest[1])
        example = base64.b64encode(rest[1].read_bytes()).decode()
        data.append(f'<script type="text/plain" id="example">data:{kind};base64,{example}</script>')
    page = (HERE / "page.html").read_text()
    for mark, text in {
        "/*STYLE*/": (HERE / "style.css").read_text(),
        "/*SCRIPT*/": (HERE / "page.js").read_text(),
        "/*BINDINGS*/": bindings.read_text(),
        "<!--DATA-->": "\n".join(data),
    }.items():
        page = page.replace(mark, text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page)
    print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB, module {module.stat().st_size / 1e6:.1f} MB)")


main()
