/** A column: its heading, and on which side its cells stand. Numbers and sizes stand right. */
export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** its cells are sentences, with names from outside in them already printable; as the last column it is folded, not cut */
  readonly sentence?: boolean
  /** left out on a narrow terminal, those of the highest number first */
  readonly gives?: number
}
