# Every command of the project; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

help:  ## this list
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

PIP = pip install --quiet --disable-pip-version-check --compile  # ahead, also where Python may write no bytecode: each process would compile all it imports anew
SUPPORTED = import sys; v = sys.version_info[:3]; sys.exit(None if (3, 11, 5) <= v < (3, 14) else \
"The book needs Python 3.11.5 to 3.13, and this is %d.%d.%d. Name another one: make PYTHON=python3.13" % v)

$(VENV)/installed: requirements.txt requirements-torch.txt
	@$(PYTHON) -c '$(SUPPORTED)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) --require-hashes -r requirements.txt
	$(BIN)/$(PIP) -r requirements-torch.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(BIN)/$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

env: $(VENV)/installed  ## the environment in .venv: what the book needs, every file checked by its hash

dev: $(VENV)/installed-dev  ## what tests, grading, the PDF and releases need as well

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11.5 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" $(UPGRADE)

lock: dev  ## the files of pins anew from pyproject.toml; UPGRADE=--upgrade takes the newest versions
	$(LOCK) pyproject.toml --extra book --group book -o requirements.txt
	$(LOCK) pyproject.toml --extra book --group book --group dev -c requirements.txt -o requirements-dev.txt
	$(LOCK) --group lite -c requirements.txt -o lite/requirements.txt
	$(LOCK) --group hub -c requirements-dev.txt -o grading/jupyterhub/requirements.txt

pins: dev  ## has every pin a wheel for Linux, macOS and Windows, on each Python? asks the package index
	$(BIN)/python tools/pins.py

# the same versions without hashes, for environments that get torch or this package as well
.cache/versions.txt: requirements-dev.txt
	@mkdir -p .cache
	sed -n 's/^\([A-Za-z0-9].*==[^\]*\) \\$$/\1/p' $< > $@

book: env  ## the book in _build/html; a failed cell or a broken reference is an error
	@start=$$(date +%s); $(BIN)/jupyter-book build . -W -n --keep-going && \
	echo "Built in $$(($$(date +%s) - start)) s. Open _build/html/index.html"

test: dev book  ## the tests, of the slowest a sample; those of the site need Chromium or Chrome
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -n 3 --dist loadgroup -rs

check: dev  ## the quick part of it: ruff, mypy, the tests of the packages and of the chapters' form (a minute)
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -q -n 2 tests/normcore tests/normbook tests/book tests/tools tests/test_*.py -m "not slow"

sweep: env  ## the long run of the chapter `experiments`, where it was left (an hour of one core); SCHEDULER=tcp://…
	$(BIN)/python -m normbook.experiments.sweep $(if $(SCHEDULER),--scheduler $(SCHEDULER))

.PHONY: help env dev lock pins book sweep test check

wheel: env  ## the package in dist/, with the digits and photos for places without scikit-learn
	$(BIN)/python tools/wheel.py dist

.venv-lite/installed: lite/requirements.txt
	$(PYTHON) -m venv .venv-lite
	.venv-lite/bin/$(PIP) --require-hashes -r lite/requirements.txt
	@touch $@

site: wheel .venv-lite/installed  ## the book with its live notebooks in _build/html/lite; needs npm
	NORMCORE_LIVE=1 $(BIN)/jupyter-book build . -W -n --keep-going
	.venv-lite/bin/python tools/build_lite.py _build/html dist/normcore-*.whl

live-test: dev site  ## every chapter live in a browser, to its end, as a notebook and in its page; CHAPTERS="scaling axes" picks some
	LIVE_TEST=1 REQUIRE_BROWSER=1 CHAPTERS="$(CHAPTERS)" $(BIN)/pytest -n 2 tests/site/test_live.py tests/site/test_lab.py tests/site/test_runner.py::test_every_cell_runs_to_the_end tests/site/test_dials.py --durations=0

whole-test: dev book  ## the tests without the samples: every page in every browser test, every case that takes long
	WHOLE=1 REQUIRE_BROWSER=1 $(BIN)/pytest -n 3 --dist loadgroup -rs

webkit-test: dev book  ## dials, cells, answers and playground in WebKit; needs webkit2gtk-driver and xvfb of Debian or Ubuntu
	WEBKIT=1 REQUIRE_BROWSER=1 $(BIN)/pytest -rs tests/site -k WebKit

lab: book  ## JupyterLab on your own copies of the chapters, in lab/
	$(BIN)/python tools/lab.py lab
	$(BIN)/jupyter lab lab

edit: env  ## JupyterLab on the chapters' sources: opened as notebooks, saved as text
	$(BIN)/jupyter lab --config=tools/edit/jupyter_lab_config.py book

zip: site  ## the whole site as one file, dist/normcore-site.zip, that opens without a server
	$(BIN)/python tools/zip.py _build/html dist/normcore-site.zip

.venv-colab/installed: .cache/versions.txt
	$(PYTHON) -m venv .venv-colab
	.venv-colab/bin/$(PIP) -c .cache/versions.txt numpy matplotlib torch==2.13.0 ipywidgets tqdm nbclient ipykernel
	@touch $@

colab-test: wheel .venv-colab/installed  ## the downloads of the last build, run where only Colab's packages are
	.venv-colab/bin/pip uninstall --quiet --yes normcore
	.venv-colab/bin/python tools/colab_test.py dist/normcore-*.whl _build/html/_sources/book/*.ipynb

links: env  ## asks every outside address in the book whether it still answers; needs the internet
	$(BIN)/jupyter-book build . --builder linkcheck --path-output .cache/links

.PHONY: wheel site live-test whole-test webkit-test lab edit zip links colab-test

assignments: dev  ## the graded assignments: student notebooks, checked; SOURCES=folder for a private set
	SOURCES="$(SOURCES)" $(BIN)/python -m grading build

GRADE = SOURCES="$(SOURCES)" UNSANDBOXED="$(UNSANDBOXED)" $(BIN)/python -m grading
HANDED_IN = "$(A)" --jobs $(or $(JOBS),2) --due "$(DUE)" --grace "$(GRACE)" --late "$(LATE)" $(if $(TIMES),--times "$(TIMES)") \
	$(if $(FROM),--from "$(FROM)") $(if $(SCHEDULER),--scheduler "$(SCHEDULER)")

grade: dev  ## grade A=name over grading/submitted, or FROM=export.zip; JOBS=2 DUE="2026-12-01 18:00" GRACE=15 LATE=10
	$(GRADE) grade $(HANDED_IN)

regrade: dev  ## the same after the tests of A changed: points given by hand are kept, the old gradebook is copied
	$(GRADE) regrade $(HANDED_IN)

grades-out: dev  ## the points of A=name in a class list: TO=canvas|moodle|roster LIST=exported.csv; and who handed in nothing
	$(GRADE) grades-out "$(A)" --to "$(TO)" --list "$(LIST)" $(if $(COLUMN),--column "$(COLUMN)")

feedback-out: dev  ## the feedback of A=name under the names that TO=canvas|moodle|hub takes back
	$(GRADE) feedback-out "$(A)" --to "$(TO)"

similar: dev  ## which submissions to A=name resemble each other: a list to read, no verdict
	$(GRADE) similar "$(A)"

variants: dev  ## a notebook of A=name for each student of LIST=students.csv, with numbers of their own
	$(GRADE) variants "$(A)" --list "$(LIST)"

solution: dev  ## the notebook of A=name with solutions, but not before AFTER="2026-12-08 18:00" and the last extension
	$(GRADE) solution "$(A)" --after "$(AFTER)"

gradescope classroom: dev .cache/versions.txt  ## A=name as an autograder for Gradescope, or a repository for GitHub Classroom
	$(GRADE) $@ "$(A)" --versions .cache/versions.txt

.PHONY: grades-out feedback-out similar variants solution gradescope classroom course-test hub hub-exercise

$(VENV)/installed-hub: $(VENV)/installed-dev grading/jupyterhub/requirements.txt grading/jupyterhub/package-lock.json
	$(BIN)/$(PIP) --require-hashes -r grading/jupyterhub/requirements.txt
	cp grading/jupyterhub/package.json grading/jupyterhub/package-lock.json $(VENV)
	cd $(VENV) && npm ci --silent --no-audit --no-fund
	@touch $@

hub: $(VENV)/installed-hub  ## JupyterHub and its proxy beside the rest in .venv; the instructors' page says how to start it

hub-exercise: $(VENV)/installed-hub  ## a course on a hub of this machine: accounts, PostgreSQL, hand-in, two graders, feedback; as root
	unshare --mount --propagation private $(BIN)/python grading/jupyterhub/locally.py

student-book: env  ## the book without solutions, in _build/student/_build/html, made anew and searched for secrets
	rm -rf _build/student
	EDITION=student $(BIN)/jupyter-book build . -W -n --keep-going --path-output _build/student
	PYTHONPATH=book $(BIN)/python -m grading leaks --student _build/student

student-site: wheel .venv-lite/installed  ## the same with live notebooks in lite/
	rm -rf _build/student
	EDITION=student NORMCORE_LIVE=1 $(BIN)/jupyter-book build . -W -n --keep-going --path-output _build/student
	.venv-lite/bin/python tools/build_lite.py _build/student/_build/html dist/normcore-*.whl
	PYTHONPATH=book $(BIN)/python -m grading leaks --student _build/student

fuzz: dev  ## notebooks of any shape against the grader, for ten minutes; FUZZ_SECONDS=60 for one
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) $(BIN)/pytest -q tests/grading/test_fuzz.py

course-test: dev  ## a made-up class of COURSE_NUMBER=30 from handing in to the register and back
	COURSE_NUMBER=$(or $(COURSE_NUMBER),30) $(BIN)/pytest -q tests/grading/test_whole_course.py

scale: dev  ## a large class: WHAT=class|again|cluster NUMBER=500; time, memory, what a second run and a lost worker cost
	$(BIN)/python -m tests.grading.scale $(or $(WHAT),class) $(or $(NUMBER),200)

quiz: dev  ## the questions for Canvas, Moodle, paper and the lecture hall, in dist/quiz; SEED=1 is another version, CHAPTERS="axes why" picks some
	$(BIN)/python tools/quiz.py dist/quiz $(CHAPTERS) --seed $(or $(SEED),0)

handouts: dev book  ## a page for each chapter, in dist/handouts: formula, picture, three facts, one warning; needs Chromium or Chrome
	$(BIN)/python tools/handouts.py _build/html dist/handouts

slides: dev book  ## the decks of the site, in _build/html/slides, each opened and every dial moved; as PDF in dist/slides; needs npm and Chromium or Chrome
	LIVE_TEST=1 REQUIRE_BROWSER=1 $(BIN)/pytest -q tests/site/test_slides.py
	$(BIN)/python tools/slides.py _build/html dist/slides

.PHONY: quiz handouts slides assignments grade regrade student-book student-site fuzz scale

accuracy: env  ## errors of outputs and gradients against extended precision, beside torch
	$(BIN)/python benchmarks/accuracy.py

speed: env  ## times beside torch and a memory copy, with one thread and with two (some minutes)
	$(BIN)/python benchmarks/speed.py --compile
	$(BIN)/python benchmarks/resnet.py

mutants: dev .venv-mutants/bin/mutmut  ## do the tests of the package notice small changes of its code? (half an hour)
	.venv-mutants/bin/python tests/mutants.py

# an environment of its own, with a view of the project's
.venv-mutants/bin/mutmut: | env
	$(PYTHON) -m venv .venv-mutants
	.venv-mutants/bin/$(PIP) mutmut==3.8.1
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
	    "$$(.venv-mutants/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/project.pth"

live-speed: site  ## how soon Python in a page answers, its files as published and as bytecode side by side (some minutes)
	$(BIN)/python benchmarks/live_speed.py

dial-speed: book  ## how long a dial of a page takes to its new picture, in Chromium and in Firefox
	$(BIN)/python benchmarks/dial_speed.py

gradient-power: env  ## how many planted mistakes the check of gradients finds, and how many right ones it rejects
	$(BIN)/python benchmarks/gradient_power.py

.PHONY: accuracy speed live-speed dial-speed mutants gradient-power

pdf: dev book  ## the whole book as one PDF, dist/normcore-book.pdf; needs Chromium or Chrome
	$(BIN)/python tools/pdf.py _build/html dist/normcore-book.pdf

audit: dev book  ## axe-core on every page in every view, then Lighthouse on every page; needs npm
	AUDIT=full WHOLE=1 REQUIRE_BROWSER=1 $(BIN)/pytest -q tests/site/test_accessible.py
	cd tools/audit && npm ci --silent --no-audit --no-fund
	$(BIN)/python tools/audit/lighthouse.py _build/html

dist: dev .cache/versions.txt  ## wheel and sdist of the package in dist/release/, each installed in a new environment and tested there
	$(BIN)/python tools/dist.py dist/release

.PHONY: pdf audit dist

versions: dev  ## the package's tests on every Python and NumPy that can be had here; PYTHONS="3.10 3.14" picks some
	$(BIN)/python -m pip wheel --quiet --no-deps -w .cache/wheel .
	$(BIN)/python tools/versions.py .cache/wheel $(PYTHONS)

.PHONY: versions
