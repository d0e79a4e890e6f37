import { setFlagsFromString } from 'node:v8'

/**
 * Compiles WebAssembly once, by V8's baseline compiler; call it before the first query. The only WebAssembly of our
 * programs is Prisma's query compiler (7.10). To optimise its largest functions V8 takes some 45 MiB at once, on threads
 * whose arenas glibc does not give back, and half a second of CPU, more than a command's queries. Queries take the same
 * time without, and the first fifty less. Node reads the setting while it runs (20.20).
 */
export function compileOnce(): void {
  setFlagsFromString('--liftoff-only')
}
