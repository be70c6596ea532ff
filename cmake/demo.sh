#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From nothing to text: installs the dependencies, builds the two programs, converts the demo checkpoint and lets the model
# speak. Run it from anywhere.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

preset=openmp-release
bin=build/$preset/bin
source_dir=inputs/demo/checkpoint
checkpoint=build/demo/demo.h5

convert() {
  mkdir -p build/demo
  if [ $checkpoint -nt $source_dir/model.safetensors ] && [ $checkpoint -nt $bin/m2-convert ]; then
    echo "$checkpoint is up to date"
    return
  fi
  rm -f $checkpoint
  $bin/m2-convert import $source_dir $checkpoint
}

step "dependencies" install_dependencies
step "configuration ($preset)" configure $preset
step "build of m2 and m2-convert ($preset)" build $preset m2 m2-convert
step "conversion of $source_dir" convert
step "generation (inputs/demo/generate.yaml)" $bin/m2 inputs/demo/generate.yaml model.checkpoint=$checkpoint
