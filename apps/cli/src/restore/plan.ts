import type { SelectedFile } from '../services/selection.js'

/** What to restore, and which older files of the same source path stay where they are. */
export interface RestorePlan {
  readonly files: readonly SelectedFile[]
  readonly older: readonly SelectedFile[]
}

/**
 * One file for each root and path: the one accepted last, since the same path may have been stored again after a change.
 * `selected` comes newest first.
 */
export function planRestore(selected: readonly SelectedFile[]): RestorePlan {
  const seen = new Set<string>()
  const files: SelectedFile[] = []
  const older: SelectedFile[] = []
  for (const file of selected) {
    const source = `${file.root}\0${file.path}`
    if (seen.has(source)) older.push(file)
    else files.push(file)
    seen.add(source)
  }
  return { files: files.toReversed(), older }
}
