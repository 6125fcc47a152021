# SPDX-License-Identifier: Apache-2.0
"""As syn2cs_crops.py, the source from a folder of translated images with the labels of the originals (BDL, LTIR, PCEDA).

`translated_source` holds `<key>.png` of every image, or is a list of such folders: data/translated/syn2cs, or below
UDATOOLS_TRANSLATED. `python tools/translate_source.py CONFIG` writes one.
"""
_base_ = './syn2cs_crops.py'
translated_source = '{{$UDATOOLS_TRANSLATED:data/translated}}/syn2cs'
source_train = dict(image_dir='{cfg:translated_source}')
train_dataloader = dict(dataset=dict(source=dict(image_dir='{cfg:translated_source}')))
