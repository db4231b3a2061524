# Sourced: unpacks $bundle into $work, and keeps kernels and tuning results in $out/kernels.
work=$(mktemp -d)
tar -C "$work" -xJf "$bundle/bundle.tar.xz"
mkdir -p "$out/kernels"
# CubeCL reads this file from the folder that a program is started in.
cat > "$work/cubecl.toml" <<TOML
[compilation]
cache = true
[environment]
path = { directory = "$out/kernels" }
TOML
# Tests look for their golden files where they were built.
built_in=$(cat "$work/built_in")
repository=$(cd "$here/../.." && pwd)
if [[ ! -e $built_in ]]; then
  mkdir -p "$(dirname "$built_in")"
  ln -s "$repository" "$built_in"
fi
