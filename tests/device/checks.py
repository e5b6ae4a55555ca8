"""All checks of a loaded driver in one program: an emulated processor takes long to start one.

python checks.py VERSION all | NAME,NAME...
"""

from pathlib import Path

import check_on_demand
import check_restarted
import check_v4l2
import cv2


def main() -> None:
    cv2.setNumThreads(1)  # its threads would be missing in forks of this process
    print("  ready: the machine boots, its drivers are loaded, Python starts")
    print(f"  ready: passed after {float(Path('/proc/uptime').read_text().split()[0]):.0f} s", flush=True)
    for each in (check_v4l2, check_on_demand, check_restarted):
        each.main()


if __name__ == "__main__":
    main()
