// Command crossroot runs commands and package scripts inside a root file system built for another CPU.
package main

func main() {}
