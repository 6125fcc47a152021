_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/syn2cs_translated.py', '../_base_/methods/ltir.py',
          '../_base_/schedules/bdl.py', '../_base_/default_runtime.py']
translated_source = ['{{$UDATOOLS_TRANSLATED:data/translated}}/syn2cs', '{{$UDATOOLS_STYLISED:data/stylised}}/syn2cs']
