import type { Problem } from './problem.js'
import { readTrustedFile, secretFileFault } from './secret-file.js'
import type { Given, Sources } from './sources.js'
import type { Variable } from './variable.js'

/** Characters of a wrong value that a message repeats. */
const SHOWN = 80

/** The result of reading one variable: its value (undefined for an optional one), or its fault. */
export type Reading = { readonly value: unknown } | { readonly problem: Problem }

/** Reads one variable from its sources; files that hold secrets as `trustFault` allows. Never throws. */
export function readVariable(
  variable: Variable<unknown>,
  sources: Sources,
  sharedFolders: readonly string[] = [],
): Reading {
  const given = sources.values(variable.name, variable.secret === true)
  const problem = (fault: string, name: string = variable.name): Reading => ({
    problem: {
      variable: name,
      fault,
      expects: name === variable.name ? variable.expects : 'the path of a file that holds the secret',
      example: name === variable.name ? variable.example : `/run/secrets/${fileName(variable.name)}`,
    },
  })
  const [first, second] = given
  if (second !== undefined) return problem(`is set, and so is ${second.name}; keep one of them`)
  if (first === undefined) {
    if (variable.fallback !== undefined) return parse(variable, variable.fallback, problem)
    return variable.optional === true ? { value: undefined } : problem('is not set')
  }
  if (first.text === '') return problem('is set but empty', first.name)
  if (first.name !== variable.name || variable.file !== undefined)
    return fromFile(variable, first, sharedFolders, problem)
  return parse(variable, first.text, problem)
}

function fromFile(
  variable: Variable<unknown>,
  { name, text: path }: Given,
  sharedFolders: readonly string[],
  problem: ProblemMaker,
): Reading {
  if (variable.fromPath !== undefined) {
    const fault = secretFileFault(path, sharedFolders)
    return fault === undefined ? { value: variable.fromPath(path) } : problem(fault, name)
  }
  const file = readTrustedFile(path, variable.file ?? 'secret', sharedFolders)
  if ('fault' in file) return problem(file.fault, name)
  return parse(variable, file.text, (fault) => problem(`names ${path}, whose content ${fault}`, name))
}

type ProblemMaker = (fault: string, name?: string) => Reading

function parse(variable: Variable<unknown>, text: string, problem: ProblemMaker): Reading {
  const parsed = variable.schema.safeParse(text)
  if (parsed.success) return { value: parsed.data }
  const reason = parsed.error.issues[0]?.message ?? 'is not of the right form'
  if (variable.secret === true || variable.file !== undefined) return problem(`is wrong: it ${reason}`)
  // Credentials don't belong in these variables, but may appear in a wrong value.
  const bare = text.replace(/\/\/[^/\s]*@/g, '//[redacted]@')
  const shown = bare.length > SHOWN ? `${bare.slice(0, SHOWN)}…` : bare
  return problem(`is wrong: ${JSON.stringify(shown)} ${reason}`)
}

function fileName(variable: string): string {
  return variable.slice('SEALFLEET_'.length).toLowerCase().replaceAll('_', '-')
}
