"""Writes docs/README.md, the contents of the documents, from docs/site/pages.toml.

Usage: make docs
"""

from build_site import CONTENTS, contents

if __name__ == "__main__":
    CONTENTS.write_text(contents(), encoding="utf-8")
    print(f"wrote docs/{CONTENTS.name}")
