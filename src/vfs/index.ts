// vfs/: the operations of a filesystem by inode number. Promises upward: Filesystem (filesystem.ts), POSIX behaviour,
// section 5 of the design. Asks downward: meta/ for names and inodes, data/ for bytes.
export type { CleanerStatus, CleanOptions } from './cleaner.ts'
export type { FilesystemOptions, Log } from './context.ts'
export { createFilesystem, type FilesystemStatus, type MountedFilesystem } from './create-filesystem.ts'
export * from './filesystem.ts'
export type { PageCache } from './hand-over.ts'
export type { QuotaAdmin, QuotaCheck, QuotaLimits, QuotaReport, QuotaSubject } from './quota-admin.ts'
