"""Builds the image and runs what the repository promises about containers.

  make test-containers                              everything
  make test-containers ARGUMENTS='--only systemd'   one group, with the image of the last run: image (which builds it),
                                                    connections, compose, kubernetes or systemd

Podman has images, containers, networks and settings of its own in target/containers, so that those of the user are not
touched. What the Dockerfile and compose.yaml begin with is made by debootstrap, or pulled with BASE_IMAGES=registry.
Needs root and Debian or one of its derivatives. The exit code is 1 if a condition does not hold."""

import argparse
import os
import signal
import sys
import time

import base_images
import compose
import connections
import image
import kubernetes
import lab
import systemd
from tally import Tally

GROUPS = {"image": image, "connections": connections, "compose": compose, "kubernetes": kubernetes, "systemd": systemd}


def main() -> int:
    arguments = parse_arguments()
    # SIGTERM ends this program as Ctrl-C does, so that the containers are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() != 0:
        raise SystemExit("this test installs packages and makes base images: run it as root")
    began = time.monotonic()
    ground = lab.prepare()
    tally = Tally()
    try:
        base_images.provide(ground, arguments.base_images)
        for name, group in GROUPS.items():
            if arguments.only in (None, name):
                group.test(ground, tally)
    finally:
        ground.remove_containers()
    print(f"{tally.summary()}, in {time.monotonic() - began:.0f} s")
    return 1 if tally.failed else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=GROUPS, help="runs one group")
    parser.add_argument(
        "--base-images", choices=["debootstrap", "registry"], default=os.environ.get("BASE_IMAGES") or "debootstrap"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
