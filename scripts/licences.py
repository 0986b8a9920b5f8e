"""Fails when a dependency's licence (cargo metadata on standard input) is none that Apache-2.0 code can ship with."""

import json
import re
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0",
    "CC0-1.0", "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "OpenSSL", "Unicode-3.0", "Unlicense", "Zlib", "bzip2-1.0.6",
    "MPL-2.0",
}


def allowed(expression: str) -> bool:
    """An SPDX expression: every AND part needs one allowed OR part."""
    text = expression.replace("/", " OR ").replace("(", " ").replace(")", " ")
    parts = [re.split(r"\s+OR\s+", part.strip()) for part in re.split(r"\s+AND\s+", text)]
    return all(any(choice.strip() in ALLOWED for choice in choices) for choices in parts)


packages = json.load(sys.stdin)["packages"]
bad = [f"{p['name']} {p['version']}: {p['license']}" for p in packages if p["source"] and not allowed(p["license"] or "none")]
if bad:
    sys.exit("not among the allowed licences:\n" + "\n".join(bad))
print(f"{len(packages)} packages, all allowed")
