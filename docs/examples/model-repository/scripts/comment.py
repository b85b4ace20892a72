"""Puts out/run.md on the pull request (GitHub) or merge request (GitLab) that CI runs for."""

import json
import os
import urllib.request
from pathlib import Path

env = os.environ
if "GITHUB_TOKEN" in env:
    url = f"{env['GITHUB_API_URL']}/repos/{env['GITHUB_REPOSITORY']}/issues/{env['PULL']}/comments"
    headers = {"Authorization": f"Bearer {env['GITHUB_TOKEN']}"}
else:
    request = f"projects/{env['CI_PROJECT_ID']}/merge_requests/{env['CI_MERGE_REQUEST_IID']}"
    url = f"{env['CI_API_V4_URL']}/{request}/notes"
    headers = {"PRIVATE-TOKEN": env["GITLAB_TOKEN"]}

body = json.dumps({"body": Path("out/run.md").read_text(encoding="utf-8")}).encode()
headers["Content-Type"] = "application/json"
urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60).close()
