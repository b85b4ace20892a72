#!/usr/bin/env bash
# The gate before a release: ends with 1 when a gate fails, else keeps the run as the next baseline.
set -euo pipefail
cd "$(dirname "$0")/.."

python model/train.py
pytest -k gates
mkdir -p released
cp out/run.json released/run.json
echo "passed; commit released/run.json with the release"
