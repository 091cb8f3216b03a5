// Pieces of Markdown.

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

/** A paragraph in lines as long as the document's. */
export function wrap(paragraph: string): string {
  return paragraph.replace(/(?=.{121})(.{1,120}) /g, '$1\n')
}

/** To be unfolded by the reader, where Markdown is shown by a browser. */
export function folded(summary: string, content: string): string {
  return `<details><summary>${summary}</summary>\n\n${content}\n\n</details>`
}
