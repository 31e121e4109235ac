"""A receiver in Python that is made from the schema alone: pydantic models by datamodel-code-generator.

    python receive.py SCHEMA DIR < events.jsonl
"""

import json
import re
import subprocess
import sys
from pathlib import Path

schema, directory = sys.argv[1], Path(sys.argv[2])
model = directory / "model.py"
subprocess.run(
    [
        Path(sys.executable).with_name("datamodel-codegen"),
        *("--input", schema, "--input-file-type", "jsonschema"),
        *("--output-model-type", "pydantic_v2.BaseModel", "--formatters", "builtin"),
        *("--output", model),
    ],
    check=True,
)
problems = [
    f"the same type under several names: {name}"
    for name in re.findall(r"^class (\w*\d)\b", model.read_text(), re.MULTILINE)
]
sys.path.insert(0, str(directory))
from model import FacewayEvent  # noqa: E402

lines = sys.stdin.read().split("\n")
lines = [line for line in lines if line]
for number, line in enumerate(lines):
    try:
        event = FacewayEvent.model_validate_json(line)
        kept = event.model_dump(mode="json", by_alias=True, exclude_none=True)
        lost = json.loads(line).keys() - kept.keys()
        if lost:
            raise ValueError(f"{lost} is lost")
    except ValueError as error:
        problems.append(f"pydantic, event {number}: {error}")
print(f"read {len(lines)}")
if problems:
    sys.exit("\n".join(problems[:20]))
