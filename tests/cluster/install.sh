#!/usr/bin/env bash
# Install SLURM and munge from Debian's packages, as root, without starting their services: the tests start their own.
set -euo pipefail
command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && exit
refusal=/usr/sbin/policy-rc.d
[ -e "$refusal" ] || { printf '#!/bin/sh\nexit 101\n' > "$refusal"; chmod +x "$refusal"; trap 'rm -f "$refusal"' EXIT; }
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm slurm-client munge >/dev/null
