# As the MiniDrive schedule; batches of 8 at 240x180.
_base_ = './minidrive.py'
