# Sourced in a copy of the checkout: makes the environment .own on top of .venv, and installs a folder in it, editable.
made=$PWD/.own
python -m venv --without-pip "$made"
below=$(python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
echo "import site; site.addsitedir('$below')" > "$("$made/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")/below.pth"
sed "1s|.*|#!$made/bin/python|" .venv/bin/convnn > "$made/bin/convnn"
chmod +x "$made/bin/convnn"
. "$made/bin/activate"
python -m pip install --quiet --no-deps --no-build-isolation --no-index --no-compile --editable "$1"
