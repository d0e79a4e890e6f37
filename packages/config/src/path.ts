import { isAbsolute, normalize } from 'node:path'
import { z } from 'zod'

/** The fault of a path that must be absolute and hold no `.`, `..` or doubled slash; undefined when there is none. */
export function absolutePathFault(path: string): string | undefined {
  if (path.includes('\0')) return 'holds a NUL byte'
  if (!isAbsolute(path)) return 'is not an absolute path'
  const bare = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
  if (normalize(bare) !== bare) return 'is not in its shortest form (it holds ., .. or //)'
  return undefined
}

/** An absolute path in its shortest form; a slash at the end is dropped. Its existence is not checked here. */
export const absolutePath: z.ZodType<string, string> = z
  .string()
  .superRefine((value, context) => {
    const fault = absolutePathFault(value)
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault })
  })
  .transform((value) => (value.length > 1 && value.endsWith('/') ? value.slice(0, -1) : value))
