# Sourced: unpacks $bundle into $work, and keeps kernels and tuning results in $out/kernels.
work=$(mktemp -d)
for archive in "$bundle"/*.tar.xz; do
  tar -C "$work" -xJf "$archive"
done
mkdir -p "$out/kernels"
# CubeCL reads this file from the folder that a program is started in.
cat > "$work/cubecl.toml" <<TOML
[compilation]
cache = true
[environment]
path = { directory = "$out/kernels" }
TOML
