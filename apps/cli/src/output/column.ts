/** A column: its heading and alignment. Numbers and sizes are right-aligned. */
export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** its cells are sentences, with names from outside in them already printable; as the last column it is folded, not cut */
  readonly sentence?: boolean
  /** left out on a narrow terminal, those of the highest number first */
  readonly gives?: number
}
