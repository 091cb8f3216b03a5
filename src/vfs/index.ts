// vfs/: the operations of a filesystem by inode number. Promises upward: Filesystem (filesystem.ts), POSIX behaviour,
// section 5 of the design. Asks downward: meta/ for names and inodes, data/ for bytes.
export * from './filesystem.ts'
