{
  "targets": [
    {
      "target_name": "kernel",
      "sources": ["native/binding.c", "native/segment.c", "native/sha256-lanes.c", "native/aes-wide.c"],
      "defines": ["NAPI_VERSION=8"],
      "cflags_c": ["-std=c11", "-O3", "-Wall", "-Wextra", "-Werror=implicit-function-declaration", "-fvisibility=hidden"],
      # Every symbol is bound at load: binding one at its first call saves all registers on the stack, keys in them.
      "conditions": [["OS=='linux'", { "ldflags": ["-Wl,-z,relro,-z,now"] }]]
    }
  ]
}
